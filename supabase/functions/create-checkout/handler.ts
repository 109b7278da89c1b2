// Opens the page at Stripe where a customer pays for a session or for more minutes of one. What is
// bought and what it costs is the database's answer; the client names it, and where to go afterwards.

import type { Database, Rpc } from '../_shared/database.ts';
import {
  answer,
  bearer,
  endpoint,
  type Handler,
  type Log,
  log,
  readJson,
  Refusal,
  uuid,
} from '../_shared/http.ts';
import { pageOf, path, siteOf } from '../_shared/site.ts';
import { isReplayed, refusalOf, Stripe } from '../_shared/stripe.ts';

export interface Dependencies {
  database: Database;
  stripe: Stripe;
  now: () => number;
}

/** What is to be paid, as the database has it. */
interface Row {
  id: string;
  status: string;
  price_cents: number;
  currency: string;
  created_at: string;
}

interface Order extends Row {
  mode: 'session' | 'extension';
  name: string;
}

interface Pages {
  success_url: string;
  cancel_url: string;
}

type Body = Record<string, unknown>;

const NAME = 'create-checkout';
const PATHS = ['success_path', 'cancel_path'];
const FIELDS: Record<Order['mode'], string[]> = {
  session: ['plan', 'intake', 'preferred_mechanic_id', 'scheduled_for', 'idempotency_key'],
  extension: ['session_id', 'minutes'],
};
const IDS: Record<Order['mode'], string> = { session: 'intent_id', extension: 'extension_id' };
/** The shortest life of a Checkout that Stripe allows. */
const LIFE_SECONDS = 30 * 60;
const FIRST_SECONDS = 60;
const RETRIES = 2;

export function handler(open: () => Dependencies, write: Log = log): Handler {
  return endpoint(NAME, {
    POST: async (request) => {
      const token = bearer(request);
      const body = await readJson(request);
      const mode = modeOf(body);
      const [success, cancel] = PATHS.map((name) => path(body[name], name));
      const { database, stripe, now } = open();
      const order = await orders[mode](database.as(token), body);
      const site = await siteOf(database.system);
      const pages = { success_url: pageOf(site, success), cancel_url: pageOf(site, cancel) };
      const recorded = await database.system('recorded_checkout', {
        p_purpose: mode,
        p_purpose_id: order.id,
      }) as string | null;
      let checkout: Stripe.Checkout.Session;
      try {
        checkout = await recordedCheckout(stripe, recorded, pages) ??
          await openCheckout(stripe, order, pages, now());
      } catch (error) {
        throw refusalOf(error, NAME, write, otherPaths);
      }
      // If this fails nobody knows the page yet, and asking again finds it.
      await database.system('record_checkout', {
        p_purpose: mode,
        p_purpose_id: order.id,
        p_checkout_session_id: checkout.id,
      });
      const answered = { id: checkout.id, [IDS[mode]]: order.id };
      write({ function: NAME, mode, ...answered });
      return answer(200, { url: checkout.url, ...answered });
    },
  }, write);
}

function modeOf(body: Body): Order['mode'] {
  const { mode } = body;
  if (mode !== 'session' && mode !== 'extension') {
    throw invalid('mode must be session or extension.');
  }
  const known = ['mode', ...PATHS, ...FIELDS[mode]];
  const unknown = Object.keys(body).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw invalid(
      `${unknown.slice(0, 60)} is not a field of this request.`,
      `Fields: ${known.join(', ')}.`,
    );
  }
  return mode;
}

const orders: Record<Order['mode'], (user: Rpc, body: Body) => Promise<Order>> = {
  session: async (user, body) => {
    if (typeof body.plan !== 'string') throw invalid('plan must be the slug of a plan.');
    const intent = await user('request_checkout', {
      p_plan: body.plan,
      p_intake: body.intake,
      p_preferred_mechanic_id: body.preferred_mechanic_id,
      p_scheduled_for: body.scheduled_for,
      p_idempotency_key: body.idempotency_key,
    }) as Row & { duration_minutes: number };
    if (intent.status !== 'open' && intent.status !== 'failed') throw alreadyPaid();
    return { ...intent, mode: 'session', name: `A session of ${intent.duration_minutes} minutes` };
  },
  extension: async (user, body) => {
    if (!Number.isSafeInteger(body.minutes)) throw invalid('minutes must be a whole number.');
    const extension = await user('request_extension', {
      p_session_id: uuid(body.session_id, 'session_id'),
      p_minutes: body.minutes,
    }) as Row & { minutes: number };
    return { ...extension, mode: 'extension', name: `${extension.minutes} more minutes` };
  },
};

/** The Checkout that was noted for an order, however long ago, if it is still open. */
async function recordedCheckout(
  stripe: Stripe,
  id: string | null,
  pages: Pages,
): Promise<Stripe.Checkout.Session | undefined> {
  if (id === null) return undefined;
  const checkout = await unpaidCheckout(stripe, id);
  if (checkout.status !== 'open') return undefined;
  const { success_url, cancel_url } = checkout;
  if (success_url !== pages.success_url || cancel_url !== pages.cancel_url) throw otherPaths();
  return checkout;
}

/**
 * The open Checkout of an order of which none is noted as open: one that is there, or a new one. No
 * note of it is needed to find it again: whoever asks in the same span of time sends the same
 * request under the same key, which Stripe answers with the same Checkout. The spans follow each
 * other from when the order was made, each Checkout lives as long as Stripe's shortest beyond its
 * span, and the one before is tried first: it is open and found, or Stripe makes none that would end
 * so soon. So an order has one open Checkout at a time, also after a lost answer, a crash, or for two
 * who ask at once.
 */
async function openCheckout(
  stripe: Stripe,
  order: Order,
  pages: Pages,
  now: number,
): Promise<Stripe.Checkout.Session> {
  const made = Math.floor(Date.parse(order.created_at) / 1000);
  const age = now / 1000 - made - FIRST_SECONDS;
  const span = age < 0 ? 0 : 1 + Math.floor(age / LIFE_SECONDS);
  // All that the events of Stripe need to tell what was paid.
  const metadata = { mode: order.mode, [IDS[order.mode]]: order.id };
  let refused: unknown = new Refusal(
    503,
    'stripe_unavailable',
    'Every checkout of this was closed.',
    'Ask again later, or for something new.',
  );
  for (let n = Math.max(0, span - 1); n <= span + 1; n++) {
    let checkout;
    try {
      checkout = await stripe.checkout.sessions.create({
        mode: 'payment',
        client_reference_id: order.id,
        line_items: [{
          quantity: 1,
          price_data: {
            currency: order.currency,
            unit_amount: order.price_cents,
            product_data: { name: order.name },
          },
        }],
        metadata,
        payment_intent_data: { metadata },
        // What is paid is compared with what was asked, to the cent and in its currency.
        adaptive_pricing: { enabled: false },
        expires_at: made + FIRST_SECONDS + (n + 1) * LIFE_SECONDS,
        ...pages,
      }, { idempotencyKey: `checkout:${order.mode}:${order.id}:${n}`, maxNetworkRetries: RETRIES });
    } catch (error) {
      if (!isOver(error)) throw error;
      refused = error;
      continue;
    }
    // What Stripe kept is the Checkout as it was when it was made.
    const current = isReplayed(checkout) ? await unpaidCheckout(stripe, checkout.id) : checkout;
    if (current.status === 'open') return current;
  }
  throw refused;
}

/** Whether this span's request can bring no Checkout any more, and the next one's may. */
function isOver(error: unknown): boolean {
  if (!(error instanceof Stripe.errors.StripeError)) return false;
  return isReplayed(error) || error.param === 'expires_at';
}

/** A Checkout as it is now. What was paid in it, or is being paid for days, is not sold again. */
async function unpaidCheckout(stripe: Stripe, id: string): Promise<Stripe.Checkout.Session> {
  const checkout = await stripe.checkout.sessions.retrieve(
    id,
    { expand: ['payment_intent'] },
    { maxNetworkRetries: RETRIES },
  );
  if (checkout.status === 'complete' && !hasFailed(checkout)) throw alreadyPaid();
  return checkout;
}

/** Whether the payment that was begun in a Checkout has come to nothing; only Stripe knows. */
function hasFailed({ payment_intent }: Stripe.Checkout.Session): boolean {
  const { status } = Object(payment_intent) as Partial<Stripe.PaymentIntent>;
  return status === 'requires_payment_method' || status === 'canceled';
}

function otherPaths(): Refusal {
  return new Refusal(
    409,
    'idempotency_conflict',
    'This was asked for before, with other paths.',
    'Ask with the paths of then, or for something new.',
  );
}

function alreadyPaid(): Refusal {
  return new Refusal(
    409,
    'already_paid',
    'This has been paid, or its payment is on its way.',
    'checkout_intents and session_extensions tell what became of it.',
  );
}

function invalid(details: string, hint: string | null = null): Refusal {
  return new Refusal(422, 'invalid_argument', details, hint);
}
