// Money that goes out, and Checkouts that are closed. Nothing is sent twice: a request is repeated
// only under its own idempotency key, and one whose answer never came not before Stripe was asked
// for what carries our `outbox_key`. A new key needs a refusal that Stripe stands by; all else is
// ambiguous.

import { Stripe } from '../../_shared/stripe.ts';
import { CALL_SECONDS, cents, type Claim, type Deliver, text, Undone } from '../delivery.ts';

const PAGE = 100;

export function stripeDeliveries(open: () => Stripe): Record<string, Deliver> {
  return {
    'stripe.transfer': (claim) => transfer(open(), claim),
    'stripe.transfer_reversal': (claim) => reversal(open(), claim),
    'stripe.refund': (claim) => refund(open(), claim),
    'stripe.expire_checkout': (claim) => expireCheckout(open(), claim),
  };
}

async function transfer(stripe: Stripe, claim: Claim) {
  const { payload, key } = claim;
  const [destination, currency] = [text(payload, 'destination'), text(payload, 'currency')];
  const amount = cents(payload, 'amount');
  const sent = await look(
    claim,
    // By the group, as the account may have been another one then; by the account, as somebody may
    // have sent it by hand.
    () => stripe.transfers.list({ transfer_group: key, limit: PAGE }, CALL),
    () => stripe.transfers.list({ destination, created: since(claim), limit: PAGE }, CALL),
  ) ?? await ask(() =>
    stripe.transfers.create({
      amount,
      currency,
      destination,
      transfer_group: key,
      metadata: metadata(claim, 'payout_id', 'session_id'),
    }, once(claim))
  );
  return { id: sent.id, amount: sent.amount, currency: sent.currency };
}

async function reversal(stripe: Stripe, claim: Claim) {
  const { payload } = claim;
  const [name, amount] = [text(payload, 'transfer'), cents(payload, 'amount')];
  const made = await look(
    claim,
    () => stripe.transfers.listReversals(name, { limit: PAGE, expand: ['data.transfer'] }, CALL),
  ) ?? await ask(() =>
    stripe.transfers.createReversal(name, {
      amount,
      metadata: metadata(claim, 'payout_id'),
      expand: ['transfer'],
    }, once(claim))
  );
  const of = made.transfer as Stripe.Transfer;
  return { id: made.id, amount: made.amount, transfer: of.id, amount_reversed: of.amount_reversed };
}

async function refund(stripe: Stripe, claim: Claim) {
  const { payload } = claim;
  const [payment_intent, amount] = [text(payload, 'payment_intent'), cents(payload, 'amount')];
  const made = await look(
    claim,
    () => stripe.refunds.list({ payment_intent, limit: PAGE }, CALL),
  ) ?? await ask(() =>
    stripe.refunds.create({
      payment_intent,
      amount,
      metadata: metadata(claim, 'refund_id'),
    }, once(claim))
  );
  const { id, status, failure_reason } = made;
  return { id, amount: made.amount, status, failure_reason };
}

/** One that is paid or has expired by itself has nothing left to close. */
async function expireCheckout(stripe: Stripe, claim: Claim) {
  const name = text(claim.payload, 'checkout_session_id');
  const { sessions } = stripe.checkout;
  const known = await ask(() => sessions.retrieve(name, {}, CALL));
  const { id, status } = known.status === 'open'
    ? await ask(() => sessions.expire(name, {}, once(claim)))
    : known;
  return { id, status };
}

const CALL = { timeout: CALL_SECONDS * 1000 };

function once(claim: Claim) {
  return { ...CALL, idempotencyKey: claim.idempotency_key };
}

/** Nothing of a row is older than the row; a minute, as clocks differ. */
function since({ created_at }: Claim) {
  return { gte: Math.floor(Date.parse(created_at) / 1000) - 60 };
}

function metadata(claim: Claim, ...names: string[]): Record<string, string> {
  const known = names.filter((name) => typeof claim.payload[name] === 'string');
  return {
    outbox_key: claim.key,
    ...Object.fromEntries(known.map((name) => [name, claim.payload[name] as string])),
  };
}

/** What Stripe has of an effect, if it has to be asked. */
async function look<T extends { metadata: Stripe.Metadata | null }>(
  claim: Claim,
  ...lists: (() => AsyncIterable<T>)[]
): Promise<T | undefined> {
  if (!claim.must_look_first) return undefined;
  try {
    for (const list of lists) {
      for await (const found of list()) {
        if (found.metadata?.outbox_key === claim.key) return found;
      }
    }
  } catch (error) {
    // Whatever the reason is, it is still not known.
    throw new Undone(`Stripe could not be asked for it: ${described(error)}`, true);
  }
}

async function ask<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw new Undone(`Stripe: ${described(error)}`, !isDefinitive(error));
  }
}

/**
 * Whether Stripe has said no to what was asked: an invalid request, or a payment it does not make.
 * Not so if it was asked too often, at the same time, with a wrong key, or with other parameters
 * under a key that is known.
 */
function isDefinitive(error: unknown): boolean {
  const { StripeCardError, StripeInvalidRequestError } = Stripe.errors;
  return error instanceof StripeInvalidRequestError || error instanceof StripeCardError;
}

function described(error: unknown): string {
  if (!(error instanceof Stripe.errors.StripeError)) return 'failed';
  const { statusCode, type, code, message, requestId } = error;
  // Its message about a wrong key shows parts of it.
  const said = error instanceof Stripe.errors.StripeAuthenticationError ? '' : message;
  return [statusCode, type, code, said, requestId].filter(Boolean).join(' ');
}
