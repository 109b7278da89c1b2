// Where an operator says that something goes: over TLS, but for this machine itself.

import type { Environment } from '../../_shared/environment.ts';
import { Refusal } from '../../_shared/http.ts';

export function address(env: Environment, variable: string, usual = ''): string {
  const url = URL.parse(env(variable) || usual);
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isThisMachine(url))) {
    return url.href;
  }
  throw new Refusal(503, 'not_configured', `${variable} is not an https address.`);
}

export function isThisMachine(url: URL): boolean {
  return ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
}
