import assert from 'node:assert/strict';
import { fakeDatabase, fakeLog, post, said } from '../_shared/fakes_test.ts';
import { Refusal } from '../_shared/http.ts';
import type { Seat } from '../_shared/livekit.ts';
import { handler } from './handler.ts';

const session_id = '11111111-1111-4111-8111-111111111111';
const user_id = '22222222-2222-4222-8222-222222222222';
const access = {
  session_id,
  room: `session-${session_id}`,
  identity: `customer-${user_id}`,
  role: 'customer',
  user_id,
  status: 'waiting',
};
const TOKEN = `h.${btoa(JSON.stringify({ sub: user_id, email: 'a@example.com' }))}.s`;

function build(answer: unknown) {
  const database = fakeDatabase({ video_access: answer });
  const write = fakeLog();
  const seats: Seat[] = [];
  const livekit = {
    url: 'wss://video.example.com',
    token: (seat: Seat) => {
      seats.push(seat);
      return Promise.resolve({ token: 'room token', expires_at: '2026-01-01T00:10:00.000Z' });
    },
  };
  const handle = handler(() => ({ as: database.as, livekit }), write);
  return { handle, seats, calls: database.calls, lines: write.lines };
}

const ask = (body: unknown) => post(body, { authorization: `Bearer ${TOKEN}` });

Deno.test('EDGE-02 who may join gets a token for the seat that the database names', async () => {
  const { handle, seats, calls, lines } = build(access);
  const response = await handle(ask({ session_id, room: 'another', role: 'mechanic' }));
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    token: 'room token',
    url: 'wss://video.example.com',
    room: access.room,
    identity: access.identity,
    expires_at: '2026-01-01T00:10:00.000Z',
  });
  assert.deepEqual(calls, [{
    as: TOKEN,
    name: 'video_access',
    args: { p_session_id: session_id },
  }]);
  assert.deepEqual(seats, [{ room: access.room, identity: access.identity, role: 'customer' }]);
  assert.deepEqual(lines, [
    { function: 'livekit-token', allowed: true, session_id, user_id, role: 'customer' },
  ]);
});

for (
  const [status, reason] of [
    [404, 'session_not_found'],
    [409, 'session_not_active'],
    [410, 'session_ended'],
    [422, 'invalid_argument'],
  ] as const
) {
  Deno.test(`EDGE-01 ${reason}: no token, and a line that says who and why`, async () => {
    const { handle, seats, lines } = build(new Refusal(status, reason, 'Why.'));
    assert.deepEqual(await said(await handle(ask({ session_id }))), [status, reason, 'Why.']);
    assert.deepEqual(seats, []);
    assert.deepEqual(lines, [
      { function: 'livekit-token', allowed: false, session_id, user_id, reason },
    ]);
  });
}

Deno.test('EDGE-01 nobody is named by a token that the database does not accept', async () => {
  const { handle, seats, lines } = build(new Refusal(401, 'not_authenticated'));
  assert.equal((await handle(ask({ session_id }))).status, 401);
  assert.deepEqual(seats, []);
  assert.deepEqual(lines, [
    { function: 'livekit-token', allowed: false, session_id, reason: 'not_authenticated' },
  ]);
});

Deno.test('EDGE-01 a request without a token or a session reaches nobody', async () => {
  const { handle, calls, lines } = build(access);
  const anonymous = post({ session_id });
  anonymous.headers.delete('authorization');
  assert.equal((await handle(anonymous)).status, 401);
  for (const id of [undefined, null, 7, '', 'x', `${session_id}0`, [session_id]]) {
    assert.deepEqual(await said(await handle(ask({ session_id: id }))), [
      422,
      'invalid_argument',
      'session_id must be a UUID.',
    ]);
  }
  for (const body of ['', '[]', '{', 'null']) {
    assert.equal((await handle(ask(body))).status, 400);
  }
  assert.equal((await handle(ask({ session_id, x: 'x'.repeat(70_000) }))).status, 413);
  assert.equal((await handle(new Request('http://127.0.0.1/livekit-token'))).status, 405);
  assert.deepEqual(calls, []);
  assert.ok(lines.every((line) => line.allowed === false && line.reason));
});

Deno.test('EDGE-01 what is wrong here is told without its words', async () => {
  const { handle, lines } = build(new TypeError('something secret'));
  assert.deepEqual(await said(await handle(ask({ session_id }))), [
    500,
    'internal_error',
    'The function failed.',
  ]);
  assert.doesNotMatch(JSON.stringify(lines), /something secret/);
});
