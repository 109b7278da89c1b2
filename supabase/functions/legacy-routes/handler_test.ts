import assert from 'node:assert/strict';
import { fakeLog, said } from '../_shared/fakes_test.ts';
import { handler } from './handler.ts';

const ID = '33333333-3333-4333-8333-333333333333';

function build(answer: Response | Error = Response.json({ url: 'https://checkout.example' })) {
  const sent: { url: string; headers: Record<string, string>; body: unknown }[] = [];
  const send = (async (input, init) => {
    const request = new Request(input, init);
    const headers = Object.fromEntries(request.headers);
    sent.push({ url: request.url, headers, body: await request.json() });
    if (answer instanceof Error) throw answer;
    return answer;
  }) as typeof fetch;
  const createCheckout = 'http://127.0.0.1:54321/functions/v1/create-checkout';
  return { handle: handler(() => ({ createCheckout, send }), fakeLog()), sent };
}

function ask(route: string, init: RequestInit = { method: 'POST' }): Request {
  return new Request(`http://127.0.0.1/legacy-routes/${route}`, init);
}

for (
  const [route, replacement] of [
    ['mechanics/requests', 'mechanic_queue'],
    [`mechanics/requests/${ID}/accept`, 'accept_assignment'],
    [`mechanics/requests/${ID}/cancel`, 'release_assignment'],
    [`mechanics/requests/${ID}/history`, 'my_sessions'],
    ['mechanics/requests/history', 'my_sessions'],
    ['mechanic/accept', 'accept_assignment'],
    ['requests', 'create_session'],
    ['cron/expire-requests', 'expire_orphaned_sessions'],
  ]
) {
  Deno.test(`EDGE-02 ${route} tells of ${replacement}`, async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const { handle, sent } = build();
      const response = await handle(ask(route, { method }));
      assert.equal(
        response.headers.get('link'),
        `</rest/v1/rpc/${replacement}>; rel="successor-version"`,
      );
      const [status, message, details] = await said(response);
      assert.deepEqual([status, message], [410, 'route_removed']);
      assert.ok(details.startsWith(replacement));
      assert.equal(sent.length, 0);
    }
  });
}

for (const route of ['', 'nothing', 'requests/1', 'mechanics/requests/1/2/accept', 'sessions']) {
  Deno.test(`EDGE-01 there is no route ${route}`, async () => {
    const answer = await said(await build().handle(ask(route)));
    assert.deepEqual(answer.slice(0, 2), [404, 'route_not_found']);
  });
}

Deno.test('EDGE-02 sessions/extend is create-checkout in mode extension, as the caller', async () => {
  const { handle, sent } = build(Response.json({ url: 'https://checkout.example' }));
  const response = await handle(ask('sessions/extend', {
    method: 'POST',
    headers: { authorization: 'Bearer token', apikey: 'key', cookie: 'c=1' },
    body: JSON.stringify({ sessionId: ID, extensionMinutes: 15, price: 1 }),
  }));
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { url: 'https://checkout.example' });
  assert.deepEqual(sent, [{
    url: 'http://127.0.0.1:54321/functions/v1/create-checkout',
    headers: { 'content-type': 'application/json', authorization: 'Bearer token', apikey: 'key' },
    body: {
      mode: 'extension',
      session_id: ID,
      minutes: 15,
      success_path: `/sessions/${ID}`,
      cancel_path: `/sessions/${ID}`,
    },
  }]);
});

Deno.test('EDGE-02 names of now and paths are kept, and the answer is what it is', async () => {
  const refusal = { code: 'PT404', message: 'session_not_found', details: null, hint: null };
  const { handle, sent } = build(Response.json(refusal, { status: 404 }));
  const body = { session_id: ID, minutes: 30, success_path: '/a', cancel_path: '/b' };
  const response = await handle(
    ask('sessions/extend', { method: 'POST', body: JSON.stringify(body) }),
  );
  assert.equal(response.status, 404);
  assert.deepEqual(await response.json(), refusal);
  assert.deepEqual(sent[0].body, { mode: 'extension', ...body });
});

Deno.test('EDGE-01 sessions/extend takes POST with an object', async () => {
  const { handle, sent } = build();
  const get = await handle(ask('sessions/extend', { method: 'GET' }));
  assert.deepEqual([get.status, get.headers.get('allow')], [405, 'POST']);
  assert.equal((await handle(ask('sessions/extend'))).status, 400);
  assert.equal(sent.length, 0);
});

Deno.test('EDGE-02 create-checkout does not answer: said so', async () => {
  const { handle } = build(new TypeError('connection refused'));
  const answer = await said(
    await handle(
      ask('sessions/extend', { method: 'POST', body: JSON.stringify({ sessionId: ID }) }),
    ),
  );
  assert.deepEqual(answer.slice(0, 2), [503, 'checkout_unavailable']);
});
