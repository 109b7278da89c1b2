// What an operator may set of the dispatcher itself.

import { type Environment, required } from '../_shared/environment.ts';
import { Refusal } from '../_shared/http.ts';
import { DELIVERY_SECONDS } from './delivery.ts';

const DEFAULT_SECONDS = 50;
const MAX_SECONDS = 300;

export interface Settings {
  secret: string;
  /** How long one call of the function may take. */
  seconds: number;
}

export function settings(env: Environment): Settings {
  const secret = required(env, 'DISPATCH_SECRET');
  const seconds = Number(env('DISPATCH_SECONDS') || DEFAULT_SECONDS);
  if (!(seconds >= DELIVERY_SECONDS && seconds <= MAX_SECONDS)) {
    throw new Refusal(
      503,
      'not_configured',
      `DISPATCH_SECONDS must be ${DELIVERY_SECONDS} to ${MAX_SECONDS}.`,
    );
  }
  return { secret, seconds };
}
