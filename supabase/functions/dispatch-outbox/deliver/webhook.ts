// Effects that are a JSON object sent to somebody else's URL.

import { address } from '../../_shared/address.ts';
import type { Environment } from '../../_shared/environment.ts';
import { nameOf } from '../../_shared/http.ts';
import { CALL_SECONDS, type Claim, type Deliver, type Row, Undone } from '../delivery.ts';

const NOT_NOW = [408, 409, 425, 429];

/**
 * Sends the effects of a topic to the URL that a variable names; the same effect always has the
 * same `Idempotency-Key`. Who has set no URL does not want them: then there is nothing to do.
 */
export function webhook(env: Environment, variable: string, fetchFn: typeof fetch): Deliver {
  return async (claim) => {
    if (!env(variable)) return { skipped: `${variable} is not set` };
    return await tell(address(env, variable), claim, fetchFn);
  };
}

export async function tell(url: string, claim: Claim, fetchFn: typeof fetch): Promise<Row> {
  const { topic, key, session_id, payload } = claim;
  const { status } = await post(
    url,
    { topic, key, session_id, payload },
    { 'idempotency-key': key },
    fetchFn,
  );
  return { status };
}

/** Posts JSON; what is not a 2xx has not happened. Redirects are not followed. */
export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string>,
  fetchFn: typeof fetch,
): Promise<{ status: number; body: Row }> {
  const { host } = new URL(url);
  let response: Response;
  let said: string;
  try {
    response = await fetchFn(url, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(CALL_SECONDS * 1000),
    });
    said = await response.text();
  } catch (error) {
    throw new Undone(`${host}: ${nameOf(error)}`, true);
  }
  const { status } = response;
  const answer = object(said);
  if (response.ok) return { status, body: answer };
  // A name or number of an error, never its text, which may hold an address.
  const code = String(answer.name ?? answer.ErrorCode ?? '');
  throw new Undone(
    `${host} answered ${status}${/^\w{1,50}$/.test(code) ? ` ${code}` : ''}`,
    status >= 500 || NOT_NOW.includes(status),
  );
}

function object(text: string): Row {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
