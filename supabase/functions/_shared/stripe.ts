// Stripe: its API, its signed events, and what its refusals mean to a caller. The only file that
// knows its SDK.

import { Stripe } from 'npm:stripe@23.1.0';
import { address } from './address.ts';
import { type Environment, required } from './environment.ts';
import { type Log, nameOf, Refusal } from './http.ts';

export { Stripe };

const TIMEOUT_MS = 10_000;
const SIGNATURE_SECONDS = 300;

/** A client for one attempt a call: whoever calls decides whether asking again is safe. */
export function openStripe(env: Environment, fetchFn: typeof fetch = fetch): Stripe {
  const { protocol, hostname, port } = new URL(
    address(env, 'STRIPE_API_URL', 'https://api.stripe.com'),
  );
  return new Stripe(required(env, 'STRIPE_SECRET_KEY'), {
    protocol: protocol === 'http:' ? 'http' : 'https',
    host: hostname,
    port: port || (protocol === 'http:' ? 80 : 443),
    httpClient: Stripe.createFetchHttpClient(fetchFn),
    timeout: TIMEOUT_MS,
    maxNetworkRetries: 0,
    telemetry: false,
  });
}

/**
 * Whether Stripe gave an answer that it had kept under the idempotency key, and did nothing. It
 * keeps an answer for a day, a refusal too.
 */
export function isReplayed(answer: Stripe.Response<unknown> | Stripe.errors.StripeError): boolean {
  const headers = answer instanceof Error ? answer.headers : answer.lastResponse.headers;
  // Of an answer they are what fetch has, whatever their type says.
  return new Headers(headers).get('idempotent-replayed') === 'true';
}

/**
 * What a caller is told of an error of Stripe, which is logged; any other error as it is. `conflict`
 * tells what was different when the same was asked for before.
 */
export function refusalOf(
  error: unknown,
  name: string,
  write: Log,
  conflict: () => Refusal,
): unknown {
  if (!(error instanceof Stripe.errors.StripeError)) return error;
  const { requestId, statusCode } = error;
  write({ function: name, level: 'error', error: nameOf(error), status: statusCode, requestId });
  if (error instanceof Stripe.errors.StripeIdempotencyError) return conflict();
  const again = 'Ask again in a moment; nothing is charged twice.';
  if (error instanceof Stripe.errors.StripeConnectionError) {
    return new Refusal(504, 'stripe_unavailable', 'Stripe did not answer.', again);
  }
  if (statusCode === 409 || statusCode === 429) {
    return new Refusal(503, 'stripe_unavailable', 'Stripe is busy.', again);
  }
  if (error instanceof Stripe.errors.StripeAPIError) {
    return new Refusal(502, 'stripe_unavailable', 'Stripe failed.', again);
  }
  return new Refusal(
    502,
    'stripe_refused',
    `Stripe refused the request: ${error.code ?? error.type}.`,
    requestId ? `Stripe's log has it as ${requestId}.` : null,
  );
}

/**
 * The event in a body that Stripe signed, not long ago, with one of these secrets (several, with
 * commas, while they are being changed).
 */
export async function signedEvent(
  body: Uint8Array,
  signature: string | null,
  secrets: string,
): Promise<Stripe.Event> {
  for (const secret of secrets.split(',')) {
    try {
      return await Stripe.webhooks.constructEventAsync(
        // Only its type asks for Node's own kind of bytes.
        body as unknown as Parameters<typeof Stripe.webhooks.constructEventAsync>[0],
        signature ?? '',
        secret.trim(),
        SIGNATURE_SECONDS,
      );
    } catch (error) {
      if (error instanceof SyntaxError) break;
      if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) throw error;
    }
  }
  throw new Refusal(
    400,
    'invalid_signature',
    'The body is not an event that Stripe signed with this secret in the last five minutes.',
  );
}
