// What support has to know: to their own webhook, or by e-mail.

import { address } from '../../_shared/address.ts';
import type { Environment } from '../../_shared/environment.ts';
import { type Deliver, text } from '../delivery.ts';
import { tell } from './webhook.ts';

export function supportAlert(env: Environment, mail: Deliver, fetchFn: typeof fetch): Deliver {
  return async (claim) => {
    const { payload } = claim;
    if (env('SUPPORT_WEBHOOK_URL')) {
      return await tell(address(env, 'SUPPORT_WEBHOOK_URL'), claim, fetchFn);
    }
    const to = text(payload, 'to');
    const html = `<pre>${escaped(JSON.stringify(payload.detail ?? {}, null, 2))}</pre>`;
    return await mail({
      ...claim,
      payload: {
        to,
        from: payload.from ?? to,
        subject: `[${text(payload, 'severity')}] ${text(payload, 'subject')}`,
        html,
      },
    });
  };
}

function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
