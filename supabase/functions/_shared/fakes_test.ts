// What handlers get in tests in place of the database and of Stripe: it notes what it was asked and
// gives the answers it was told to, in order.

import type { Database, Rpc } from './database.ts';
import type { Log } from './http.ts';
import { openStripe, type Stripe } from './stripe.ts';

export interface Call {
  as: string;
  name: string;
  args: Record<string, unknown>;
}

/** A database that answers each function with a value, or throws it if it is an error. */
export function fakeDatabase(answers: Record<string, unknown>): Database & { calls: Call[] } {
  const calls: Call[] = [];
  const rpc = (as: string): Rpc => (name, args = {}) => {
    calls.push({ as, name, args });
    const value = answers[name];
    return value instanceof Error ? Promise.reject(value) : Promise.resolve(value);
  };
  return { calls, as: rpc, system: rpc('system') };
}

export interface Asked {
  method: string;
  path: string;
  form: Record<string, string>;
  key: string | null;
}

/** An answer of Stripe, or an error of the network. */
export type Answer = { status?: number; body?: unknown; replayed?: boolean } | Error;

const secretOnly = (name: string) => name === 'STRIPE_SECRET_KEY' ? 'sk_test_fake' : undefined;

/** The real client, with these answers in place of the network. */
export function fakeStripe(...answers: Answer[]): { stripe: Stripe; asked: Asked[] } {
  const asked: Asked[] = [];
  const send: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const { pathname, search } = new URL(request.url);
    asked.push({
      method: request.method,
      path: pathname,
      form: Object.fromEntries(new URLSearchParams(search || await request.text())),
      key: request.headers.get('idempotency-key'),
    });
    const answer = answers.shift();
    if (!answer) throw new Error('Stripe was asked once more than expected.');
    if (answer instanceof Error) throw answer;
    return Response.json(answer.body ?? {}, {
      status: answer.status ?? 200,
      headers: {
        'request-id': 'req_1',
        'stripe-should-retry': 'false',
        ...(answer.replayed ? { 'idempotent-replayed': 'true' } : {}),
      },
    });
  };
  return { stripe: openStripe(secretOnly, send), asked };
}

/** A log that is kept. */
export function fakeLog(): Log & { lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  return Object.assign((entry: Record<string, unknown>) => void lines.push(entry), { lines });
}

export const site = [{ key: 'site_url', value: 'https://example.com/app/' }];

export function post(body: unknown, headers: Record<string, string> = {}): Request {
  return new Request('http://127.0.0.1/function', {
    method: 'POST',
    headers: { authorization: 'Bearer token', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** The status, `message` and `details` of an answer. */
export async function said(response: Response): Promise<[number, string, string]> {
  const { message, details } = await response.json();
  return [response.status, message, details];
}
