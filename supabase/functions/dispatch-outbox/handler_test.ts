import assert from 'node:assert/strict';
import type { Claim, Deliver, Row } from './delivery.ts';
import { Undone } from './delivery.ts';
import { claimOf, environment } from './fakes_test.ts';
import { type Dependencies, handler } from './handler.ts';
import { settings } from './settings.ts';
import { Refusal } from '../_shared/http.ts';

const SECRET = 'dispatch-secret';

interface Call {
  name: string;
  args: Row;
}

/** An outbox that gives out these batches, one a claim, and notes what it is told. */
function outbox(batches: Claim[][], answers: (call: Call) => unknown = () => true) {
  const calls: Call[] = [];
  const lines: Row[] = [];
  const kept: Promise<unknown>[] = [];
  const open = (deliveries: Record<string, Deliver>) => () => {
    const dependencies: Dependencies = {
      secret: SECRET,
      seconds: 50,
      deliveries,
      // deno-lint-ignore require-await
      system: async (name, args = {}) => {
        calls.push({ name, args });
        return name === 'claim_outbox' ? batches.shift() ?? [] : answers({ name, args });
      },
      keepRunning: (work) => kept.push(work),
    };
    return dependencies;
  };
  const run = async (deliveries: Record<string, Deliver>, request = asking(SECRET)) => {
    const response = await handler(open(deliveries), (line) => lines.push(line))(request);
    return { status: response.status, body: await response.json() };
  };
  return { calls, lines, kept, run };
}

function asking(secret?: string, method = 'POST'): Request {
  const headers = secret === undefined ? undefined : { authorization: `Bearer ${secret}` };
  return new Request('http://localhost/dispatch-outbox', { method, headers });
}

Deno.test('EDGE-01 nobody without the secret gets anything done', async () => {
  const box = outbox([[claimOf('push', {})]]);
  for (
    const request of [
      asking(),
      asking(''),
      asking('wrong'),
      asking(`${SECRET}x`),
      asking(SECRET.slice(1)),
    ]
  ) {
    const { status, body } = await box.run({}, request);
    assert.equal(status, 401);
    assert.equal(body.message, 'not_authenticated');
  }
  for (const method of ['GET', 'PUT', 'DELETE']) {
    assert.equal((await box.run({}, asking(SECRET, method))).status, 405);
  }
  assert.deepEqual(box.calls, []);
});

Deno.test('MON-18 what is claimed is delivered, and completed with its answer and token', async () => {
  const claim = claimOf('push', { a: 1 }, { id: 3, lease_token: 'mine' });
  const box = outbox([[claim]]);
  const { status, body } = await box.run({ push: (given) => Promise.resolve({ of: given.id }) });
  assert.equal(status, 200);
  assert.deepEqual(body, { claimed: 1, done: 1, failed: 0, lost: 0 });
  const [claimed, completed, asked] = box.calls;
  assert.equal(claimed.args.p_lease_seconds, 60);
  assert.deepEqual(completed, {
    name: 'complete_outbox',
    args: { p_id: 3, p_lease_token: 'mine', p_result: { of: 3 } },
  });
  // It goes on until nothing is due.
  assert.equal(asked.name, 'claim_outbox');
  assert.equal(box.calls.length, 3);
  assert.equal(box.kept.length, 1);
});

Deno.test('MON-18 what fails is failed with its doubt, and does not stop the others', async () => {
  const throwing = (error: unknown): Deliver => () => Promise.reject(error);
  const box = outbox([[
    claimOf('email', {}, { id: 1 }),
    claimOf('push', {}, { id: 2 }),
    claimOf('crm.track', {}, { id: 3 }),
    claimOf('webhook', {}, { id: 4, must_look_first: true }),
    claimOf('webhook', {}, { id: 5 }),
    claimOf('unheard.of', {}, { id: 6 }),
    claimOf('unheard.of', {}, { id: 7, must_look_first: true }),
    claimOf('storage.remove', {}, { id: 8 }),
  ]]);
  const { body } = await box.run({
    email: throwing(new Undone('refused', false)),
    push: throwing(new Undone('late', true)),
    'crm.track': throwing(new TypeError('with an address@example.com in it')),
    webhook: throwing(new Refusal(503, 'not_configured', 'URL is not set.')),
    'storage.remove': () => Promise.resolve({}),
  });
  assert.deepEqual(body, { claimed: 8, done: 1, failed: 7, lost: 0 });
  const failed = box.calls.filter((call) => call.name === 'fail_outbox')
    .sort((a, b) => Number(a.args.p_id) - Number(b.args.p_id));
  assert.deepEqual(
    failed.map(({ args }) => [args.p_id, args.p_error, args.p_ambiguous]),
    [
      [1, 'refused', false],
      [2, 'late', true],
      [3, 'TypeError', true],
      // Nothing was sent now: as much doubt as before.
      [4, 'not_configured: URL is not set.', true],
      [5, 'not_configured: URL is not set.', false],
      [6, 'unknown_topic: Nobody here delivers unheard.of.', false],
      [7, 'unknown_topic: Nobody here delivers unheard.of.', true],
    ],
  );
});

Deno.test('MON-18 a lost lease is counted, and nothing else happens to the row', async () => {
  const box = outbox([[claimOf('push', {}), claimOf('email', {})]], () => false);
  const { body } = await box.run({
    push: () => Promise.resolve({}),
    email: () => Promise.reject(new Undone('no', false)),
  });
  assert.deepEqual(body, { claimed: 2, done: 0, failed: 0, lost: 2 });
});

Deno.test('MON-18 an answer that could not be noted is noted again', async () => {
  let tries = 0;
  const box = outbox([[claimOf('push', {})]], () => {
    if (++tries === 1) throw new Refusal(503, 'database_unavailable');
    return true;
  });
  const { body } = await box.run({ push: () => Promise.resolve({}) });
  assert.deepEqual(body, { claimed: 1, done: 1, failed: 0, lost: 0 });
  assert.equal(tries, 2);
});

Deno.test('MON-18 an answer that the database refuses leaves the row in doubt', async () => {
  const box = outbox([[claimOf('push', {})]], ({ name }) => {
    if (name === 'complete_outbox') throw new Refusal(400, 'a trigger failed');
    return true;
  });
  const { body } = await box.run({ push: () => Promise.resolve({}) });
  assert.deepEqual(body, { claimed: 1, done: 0, failed: 1, lost: 0 });
  assert.equal(box.calls.find((call) => call.name === 'fail_outbox')?.args.p_ambiguous, true);
});

Deno.test('MON-18 no more than ten at once, and a slow one holds up only its own place', async () => {
  const due = Array.from({ length: 25 }, (_, id) => claimOf('push', {}, { id }));
  let [now, most] = [0, 0];
  let release = () => {};
  const slow = new Promise<void>((resolve) => release = resolve);
  const finished: number[] = [];
  const calls: number[] = [];
  const response = await handler(() => ({
    secret: SECRET,
    seconds: 50,
    keepRunning: () => {},
    system: (name, args = {}) => {
      if (name !== 'claim_outbox') return Promise.resolve(true);
      calls.push(args.p_limit as number);
      return Promise.resolve(due.splice(0, args.p_limit as number));
    },
    deliveries: {
      push: async ({ id }) => {
        most = Math.max(most, ++now);
        if (id === 0) await slow;
        await new Promise((resolve) => setTimeout(resolve, 1));
        finished.push(id);
        now--;
        if (finished.length === 24) release();
        return {};
      },
    },
  }), () => {})(asking(SECRET));
  assert.deepEqual(await response.json(), { claimed: 25, done: 25, failed: 0, lost: 0 });
  assert.equal(most, 10);
  assert.equal(finished.at(-1), 0);
  assert.ok(calls.every((limit) => limit >= 1 && limit <= 10), `${calls}`);
});

Deno.test('MON-18 it stops claiming while there is still time to answer for what it has', async () => {
  let claims = 0;
  const response = await handler(() => ({
    secret: SECRET,
    // As long as one delivery may take, so that only the first claim is in time.
    seconds: 25,
    keepRunning: () => {},
    system: (name) =>
      Promise.resolve(name === 'claim_outbox' ? [claimOf('push', {}, { id: ++claims })] : true),
    deliveries: { push: () => Promise.resolve({}) },
  }), () => {})(asking(SECRET));
  assert.deepEqual(await response.json(), { claimed: 1, done: 1, failed: 0, lost: 0 });
  assert.equal(claims, 1);
});

Deno.test('MON-18 a claim that fails loses nothing of what was claimed before', async () => {
  let claims = 0;
  const noted: unknown[] = [];
  const response = await handler(() => ({
    secret: SECRET,
    seconds: 50,
    keepRunning: () => {},
    system: (name, args = {}) => {
      if (name !== 'claim_outbox') return Promise.resolve(noted.push(args.p_id) > 0);
      if (++claims > 1) return Promise.reject(new Refusal(503, 'database_unavailable'));
      return Promise.resolve([claimOf('push', {}, { id: 1 }), claimOf('email', {}, { id: 2 })]);
    },
    deliveries: {
      push: () => Promise.resolve({}),
      email: () => new Promise((resolve) => setTimeout(() => resolve({}), 20)),
    },
  }), () => {})(asking(SECRET));
  assert.equal(response.status, 503);
  assert.deepEqual(noted, [1, 2]);
});

Deno.test('EDGE-01 the log has ids, and neither payloads nor secrets', async () => {
  const claim = claimOf('email', { to: 'ann@example.com' }, { session_id: 'session-1' });
  const box = outbox([[claim]]);
  await box.run({ email: () => Promise.reject(new Error('to ann@example.com')) });
  const [line] = box.lines;
  assert.equal(box.lines.length, 1);
  const { ms, ...rest } = line;
  assert.equal(typeof ms, 'number');
  assert.deepEqual(rest, {
    function: 'dispatch-outbox',
    outbox_id: 7,
    topic: 'email',
    session_id: 'session-1',
    attempts: 1,
    ambiguous: true,
    outcome: 'failed',
  });
});

Deno.test('EDGE-03 without its secret it says so; its seconds have bounds', () => {
  assert.throws(() => settings(environment({})), { message: 'not_configured' });
  assert.deepEqual(settings(environment({ DISPATCH_SECRET: 's' })), { secret: 's', seconds: 50 });
  for (const seconds of ['24', '301', 'soon', '-1']) {
    const env = environment({ DISPATCH_SECRET: 's', DISPATCH_SECONDS: seconds });
    assert.throws(() => settings(env), { message: 'not_configured' });
  }
});
