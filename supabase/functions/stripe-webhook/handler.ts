// Stripe tells what happened. An event counts when Stripe signed it; what it does, and that it does
// it once, is the database's business. Anything but 2xx makes Stripe send it again.

import type { Rpc } from '../_shared/database.ts';
import {
  answer,
  endpoint,
  type Handler,
  type Log,
  log,
  readBytes,
  Refusal,
} from '../_shared/http.ts';
import { signedEvent } from '../_shared/stripe.ts';

export interface Dependencies {
  system: Rpc;
  secrets: string;
}

interface Ingested {
  status: string;
  duplicate: boolean;
}

const MAX_BYTES = 1024 * 1024;

export function handler(open: () => Dependencies, write: Log = log): Handler {
  return endpoint('stripe-webhook', {
    POST: async (request) => {
      const { system, secrets } = open();
      const body = await readBytes(request, MAX_BYTES);
      const event = await signedEvent(body, request.headers.get('stripe-signature'), secrets);
      const { status, duplicate } = await ingest(system, event);
      const level = status === 'failed' ? 'error' : 'info';
      const { id, type } = event;
      write({ function: 'stripe-webhook', level, event: id, type, status, duplicate });
      if (status === 'failed') {
        throw new Refusal(
          500,
          'event_failed',
          'The event is kept and has changed nothing.',
          'It is run again when it is sent again, or by retry_stripe_event.',
        );
      }
      return answer(200, { received: true, status, duplicate });
    },
  }, write);
}

async function ingest(system: Rpc, event: unknown): Promise<Ingested> {
  try {
    return await system('ingest_stripe_event', { p_event: event }) as Ingested;
  } catch (error) {
    // What is not an event at all stays one; any other refusal may be over when it is sent again.
    if (!(error instanceof Refusal) || error.status === 422 || error.status >= 500) throw error;
    throw new Refusal(503, error.message, error.details, error.hint);
  }
}
