// What the tests put in place of the outside: claims, and a fetch that answers from a list.

import type { Claim, Row } from './delivery.ts';

export function claimOf(topic: string, payload: Row, more: Partial<Claim> = {}): Claim {
  return {
    id: 7,
    topic,
    key: `${topic}:1`,
    idempotency_key: `${topic}:1#1`,
    payload,
    session_id: null,
    attempts: 1,
    must_look_first: false,
    lease_token: 'token',
    created_at: '2026-01-01T12:00:00.987654+00:00',
    ...more,
  };
}

export interface Asked {
  method: string;
  url: string;
  headers: Headers;
  body: string;
}

/** A fetch that notes what it is asked; it answers with a status and JSON, or throws, in turn. */
export function fakeFetch(...answers: ([number, unknown] | Error)[]) {
  const asked: Asked[] = [];
  const fetchFn = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    asked.push({
      method: request.method,
      url: request.url,
      headers: request.headers,
      body: await request.text(),
    });
    const next = answers.shift();
    if (next === undefined) throw new Error(`nobody expected ${request.method} ${request.url}`);
    if (next instanceof Error) throw next;
    return new Response(JSON.stringify(next[1]), {
      status: next[0],
      headers: { 'content-type': 'application/json' },
    });
  };
  return { asked, fetchFn: fetchFn as typeof fetch };
}

export function environment(values: Record<string, string>) {
  return (name: string): string | undefined => values[name];
}
