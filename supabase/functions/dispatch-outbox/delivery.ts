// What it is to deliver one effect of the outbox: what is claimed, what is answered, and what it
// means when it does not succeed.

import { nameOf, Refusal } from '../_shared/http.ts';
import { TooLate } from '../_shared/within.ts';

/** Within this an effect is delivered or given up; every call of a delivery has less. */
export const DELIVERY_SECONDS = 25;
/** How long one call to the outside may take. */
export const CALL_SECONDS = 10;
/** A row is ours for so long: longer than a delivery, and the notes about it. */
export const LEASE_SECONDS = 60;

export type Row = Record<string, unknown>;

/** A row as `claim_outbox` gives it. */
export interface Claim {
  id: number;
  topic: string;
  key: string;
  /** Grows with every definitive refusal. */
  idempotency_key: string;
  payload: Row;
  session_id: string | null;
  attempts: number;
  /** Nobody knows whether it was done: the outside is asked before it is sent. */
  must_look_first: boolean;
  lease_token: string;
  /** When it was written; no delivery of it is older. */
  created_at: string;
}

/** Carries out one effect and gives what `complete_outbox` takes; throws when it is not certain. */
export type Deliver = (claim: Claim) => Promise<Row>;

/** An effect that was not carried out, or, if it is ambiguous, of which nobody knows. */
export class Undone extends Error {
  constructor(message: string, readonly ambiguous: boolean) {
    super(message);
    this.name = 'Undone';
  }
}

/** What `fail_outbox` is told of anything that a delivery throws. */
export function reasonOf(error: unknown, claim: Claim): Undone {
  if (error instanceof Undone) return error;
  // We refuse only before anything is sent, so there is as much doubt as there was.
  if (error instanceof Refusal) {
    return new Undone(`${error.message}: ${error.details}`, claim.must_look_first);
  }
  return new Undone(error instanceof TooLate ? error.message : nameOf(error), true);
}

/** A text that a payload must have. */
export function text(payload: Row, name: string): string {
  const value = payload[name];
  if (typeof value === 'string' && value) return value;
  throw new Refusal(422, 'invalid_payload', `payload.${name} is not a text.`);
}

/** A positive amount of minor units that a payload must have. */
export function cents(payload: Row, name: string): number {
  const value = payload[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw new Refusal(422, 'invalid_payload', `payload.${name} is not an amount.`);
}
