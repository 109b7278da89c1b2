// The HTTP routes of the older application. One lives on under another name; of the others the answer
// says what has taken their place.

import {
  answer,
  endpoint,
  type Handler,
  type Log,
  log,
  readJson,
  Refusal,
  uuid,
} from '../_shared/http.ts';

export interface Dependencies {
  /** The address of the function create-checkout. */
  createCheckout: string;
  send: typeof fetch;
}

const NAME = 'legacy-routes';
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** What identifies the caller; whether it is worth anything is for create-checkout to say. */
const CALLER = ['authorization', 'apikey', 'x-client-info'];

const REMOVED: [route: RegExp, replacement: string][] = [
  [/^mechanics\/requests$/, 'mechanic_queue'],
  [/^mechanics\/requests\/[^/]+\/accept$/, 'accept_assignment'],
  [/^mechanics\/requests\/[^/]+\/cancel$/, 'release_assignment'],
  [/^mechanics\/requests(\/[^/]+)?\/history$/, 'my_sessions'],
  [/^mechanic\/accept$/, 'accept_assignment'],
  [/^requests$/, 'create_session'],
  [/^cron\/expire-requests$/, 'expire_orphaned_sessions'],
];

export function handler(open: () => Dependencies, write: Log = log): Handler {
  const route: Handler = (request) => {
    const path = routeOf(request);
    if (path === 'sessions/extend') return extend(request, open);
    const removed = REMOVED.find(([pattern]) => pattern.test(path));
    if (!removed) throw new Refusal(404, 'route_not_found', 'There is no such route.');
    const replacement = removed[1];
    throw new Refusal(
      410,
      'route_removed',
      `${replacement} has taken the place of this route.`,
      `Call ${replacement} over the API: POST /rest/v1/rpc/${replacement}.`,
      undefined,
      { link: `</rest/v1/rpc/${replacement}>; rel="successor-version"` },
    );
  };
  return endpoint(NAME, Object.fromEntries(METHODS.map((method) => [method, route])), write);
}

function routeOf(request: Request): string {
  return new URL(request.url).pathname.replace(/^\/legacy-routes/, '').replace(/^\/|\/$/g, '');
}

/** Hands the request on, in the words of create-checkout, and its answer back. */
async function extend(request: Request, open: () => Dependencies): Promise<Response> {
  if (request.method !== 'POST') {
    throw new Refusal(405, 'method_not_allowed', 'Use POST.', null, undefined, { allow: 'POST' });
  }
  const body = await readJson(request);
  const session = uuid(body.session_id ?? body.sessionId, 'session_id');
  const page = `/sessions/${session}`;
  const { createCheckout, send } = open();
  const headers = new Headers({ 'content-type': 'application/json' });
  for (const name of CALLER) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  try {
    const response = await send(createCheckout, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        mode: 'extension',
        session_id: session,
        minutes: body.minutes ?? body.extensionMinutes,
        success_path: body.success_path ?? page,
        cancel_path: body.cancel_path ?? page,
      }),
    });
    return answer(response.status, await response.json());
  } catch {
    throw new Refusal(
      503,
      'checkout_unavailable',
      'create-checkout does not answer.',
      'Ask again in a moment.',
    );
  }
}
