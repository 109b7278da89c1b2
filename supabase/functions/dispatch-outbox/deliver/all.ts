// Who delivers what. A service that is not configured fails its own effects and no others.

import { client } from '../../_shared/database.ts';
import { type Environment, once } from '../../_shared/environment.ts';
import { openLiveKit } from '../../_shared/livekit.ts';
import { openStripe } from '../../_shared/stripe.ts';
import type { Deliver } from '../delivery.ts';
import { email } from './email.ts';
import { deleteRoom } from './livekit.ts';
import { removeObject } from './storage.ts';
import { stripeDeliveries } from './stripe.ts';
import { supportAlert } from './support.ts';
import { webhook } from './webhook.ts';

export function deliveries(
  env: Environment,
  fetchFn: typeof fetch = fetch,
): Record<string, Deliver> {
  const mail = email(env, fetchFn);
  return {
    email: mail,
    'support.alert': supportAlert(env, mail, fetchFn),
    ...stripeDeliveries(once(() => openStripe(env, fetchFn))),
    'livekit.delete_room': deleteRoom(once(() => openLiveKit(env).rooms)),
    'storage.remove': removeObject(once(() => client(env, 'secret').storage)),
    'crm.track': webhook(env, 'CRM_WEBHOOK_URL', fetchFn),
    push: webhook(env, 'PUSH_WEBHOOK_URL', fetchFn),
    webhook: webhook(env, 'WEBHOOK_URL', fetchFn),
  };
}
