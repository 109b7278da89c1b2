import assert from 'node:assert/strict';
import { fakeDatabase, fakeLog, post, said } from '../_shared/fakes_test.ts';
import { Refusal } from '../_shared/http.ts';
import type { WebhookEvent } from '../_shared/livekit.ts';
import { handler } from './handler.ts';

const session = '11111111-1111-4111-8111-111111111111';
const identity = 'customer-22222222-2222-4222-8222-222222222222';
const joined = {
  id: 'EV_1',
  event: 'participant_joined',
  createdAt: '1767225600',
  room: { name: `session-${session}` },
  participant: { identity },
};

/** LiveKit that takes what has the authorization `signed` for signed. */
const livekit = {
  event: (body: string, authorization: string) =>
    authorization === 'signed'
      ? Promise.resolve(JSON.parse(body) as WebhookEvent)
      : Promise.reject(new Error('not signed')),
};

function build(answer: unknown = {}) {
  const database = fakeDatabase({ record_presence_event: answer });
  const write = fakeLog();
  const handle = handler(() => ({ system: database.system, livekit }), write);
  return { handle, calls: database.calls, lines: write.lines };
}

const send = (event: unknown, authorization = 'signed') => post(event, { authorization });

for (const event of ['participant_joined', 'participant_left']) {
  Deno.test(`EDGE-02 ${event} is recorded as it was said`, async () => {
    const { handle, calls, lines } = build();
    const response = await handle(send({ ...joined, event }));
    assert.deepEqual([response.status, await response.json()], [200, { received: true }]);
    assert.deepEqual(calls, [{
      as: 'system',
      name: 'record_presence_event',
      args: {
        p_session_id: session,
        p_identity: identity,
        p_event: event,
        p_event_id: 'EV_1',
        p_occurred_at: '2026-01-01T00:00:00.000Z',
      },
    }]);
    assert.deepEqual(lines, [
      { function: 'livekit-webhook', event_id: 'EV_1', event, session_id: session },
    ]);
  });
}

Deno.test('EDGE-02 what is not about presence in a session is taken and ignored', async () => {
  const { handle, calls } = build();
  for (
    const other of [
      { event: 'room_started' },
      { event: 'participant_connection_aborted' },
      { event: 'participant_joined', room: undefined },
      { event: 'participant_joined', room: { name: 'lobby' } },
      { event: 'participant_joined', room: { name: `session-${session}-2` } },
      { event: 'participant_joined', room: { name: `session-${session.slice(1)}` } },
    ]
  ) {
    const response = await handle(send({ ...joined, ...other }));
    assert.deepEqual(
      [response.status, await response.json()],
      [200, { received: true, ignored: 'not_presence' }],
    );
  }
  assert.deepEqual(calls, []);
});

for (const [status, message] of [[404, 'session_not_found'], [422, 'invalid_argument']] as const) {
  Deno.test(`EDGE-02 ${message} would be so again: LiveKit need not repeat it`, async () => {
    const { handle } = build(new Refusal(status, message));
    const response = await handle(send(joined));
    assert.deepEqual(
      [response.status, await response.json()],
      [200, { received: true, ignored: message }],
    );
  });
}

for (
  const refusal of [
    new Refusal(409, 'session_locked', 'Somebody holds it.'),
    new Refusal(404, 'Could not find the function', null, null, 'PGRST202'),
    new Refusal(401, 'permission denied', null, null, '42501'),
    new Refusal(503, 'database_unavailable'),
  ]
) {
  Deno.test(`EDGE-02 ${refusal.message} may be over: a 5xx, after which it comes again`, async () => {
    const { handle, lines } = build(refusal);
    const answer = await said(await handle(send(joined)));
    assert.deepEqual(answer, [503, refusal.message, refusal.details]);
    assert.equal(lines[0].refused, refusal.message);
  });
}

Deno.test('EDGE-01 what LiveKit did not sign changes nothing', async () => {
  const { handle, calls } = build();
  for (const authorization of ['', 'Bearer signed', 'other']) {
    const [status, message] = await said(await handle(send(joined, authorization)));
    assert.deepEqual([status, message], [401, 'not_authenticated']);
  }
  const bytes = new Request('http://127.0.0.1/', {
    method: 'POST',
    headers: { authorization: 'signed' },
    body: new Uint8Array([0xff, 0xfe]),
  });
  assert.equal((await handle(bytes)).status, 401);
  assert.equal((await handle(send({ ...joined, x: 'x'.repeat(300_000) }))).status, 413);
  assert.equal((await handle(new Request('http://127.0.0.1/'))).status, 405);
  assert.deepEqual(calls, []);
});
