// Where an operator says that something goes: over TLS, but for this machine itself.

import { type Environment, required } from './environment.ts';
import { Refusal } from './http.ts';

/** The address in a variable, as it was written; `protocol` is the one with TLS. */
export function address(
  env: Environment,
  variable: string,
  usual = '',
  protocol: 'https' | 'wss' = 'https',
): string {
  const written = env(variable) || usual || required(env, variable);
  const url = URL.parse(written);
  const withoutTls = `${protocol.slice(0, -1)}:`;
  if (url?.protocol === `${protocol}:` || (url?.protocol === withoutTls && isThisMachine(url))) {
    return written;
  }
  throw new Refusal(
    503,
    'not_configured',
    `${variable} is not an address with ${protocol}.`,
    'Only this machine itself is spoken to without TLS.',
  );
}

export function isThisMachine(url: URL): boolean {
  return ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
}
