import assert from 'node:assert/strict';
import { fakeDatabase, fakeLog, said } from '../_shared/fakes_test.ts';
import { Refusal } from '../_shared/http.ts';
import { handler } from './handler.ts';

const settings = [{ key: 'max_rtt_ms', value: 250 }];
const metric = (category: string, name: string, value: number | null, status = 'ok') => ({
  category,
  metric: name,
  value,
  unit: '',
  status,
  detail: {},
});
const well = [
  metric('overall', 'status', 90, 'warn'),
  metric('jobs', 'tick-sessions', 4),
  metric('outbox', 'waiting', 3),
  metric('outbox', 'overdue', 0),
  metric('outbox', 'dead', 0),
];

function build(answers: Record<string, unknown> = {}) {
  const database = fakeDatabase({
    list_settings: settings,
    session_health_dashboard: well,
    ...answers,
  });
  const clock = { now: 0 };
  const write = fakeLog();
  const handle = handler(
    () => ({ system: database.system, secret: () => 'health-secret' }),
    write,
    () => clock.now,
  );
  return { handle, clock, answers: database, lines: write.lines };
}

function ask(query = '', secret?: string, method = 'GET'): Request {
  const headers: Record<string, string> = secret ? { authorization: `Bearer ${secret}` } : {};
  return new Request(`http://127.0.0.1/health${query}`, { method, headers });
}

Deno.test('EDGE-02 it answers at once, and asks for the setting once a minute', async () => {
  const { handle, clock, answers } = build();
  for (const at of [0, 10, 59_999, 60_000, 119_999]) {
    clock.now = at;
    const response = await handle(ask());
    assert.deepEqual([response.status, await response.json()], [200, {
      ok: true,
      max_rtt_ms: 250,
    }]);
    assert.equal(response.headers.get('cache-control'), 'no-store');
  }
  assert.deepEqual(answers.calls.map((call) => call.name), ['list_settings', 'list_settings']);
});

Deno.test('EDGE-02 with a database that is away it still answers', async () => {
  const { handle, lines } = build({ list_settings: new Refusal(503, 'database_unavailable') });
  const response = await handle(ask());
  assert.deepEqual([response.status, await response.json()], [200, { ok: true, max_rtt_ms: null }]);
  assert.equal(lines.length, 1);
});

Deno.test('EDGE-02 a database that hangs holds it up for two seconds, and only once', async () => {
  const { handle } = build({ list_settings: new Promise(() => {}) });
  const begun = performance.now();
  const answers = await Promise.all([handle(ask()), handle(ask())]);
  assert.deepEqual(answers.map((response) => response.status), [200, 200]);
  assert.ok(performance.now() - begun < 3_000);
});

Deno.test('EDGE-02 deep, it tells of the database, the jobs and the outbox', async () => {
  const { handle } = build();
  const response = await handle(ask('?deep=1', 'health-secret'));
  assert.deepEqual([response.status, await response.json()], [200, {
    ok: true,
    max_rtt_ms: 250,
    database: { ok: true },
    jobs: { ok: true, wrong: [], values: { 'tick-sessions': 4 } },
    outbox: { ok: true, wrong: [], values: { waiting: 3, overdue: 0, dead: 0 } },
  }]);
});

for (
  const [what, found] of [
    ['a late job', [...well, metric('jobs', 'dispatch-outbox', null, 'fail')]],
    ['an old effect', [...well, metric('outbox', 'overdue', 1000, 'fail')]],
    ['no job at all', well.filter((row) => row.category !== 'jobs')],
    ['a database that is away', new Refusal(503, 'database_unavailable')],
  ] as const
) {
  Deno.test(`EDGE-02 deep, ${what} is a 503`, async () => {
    const { handle } = build({ session_health_dashboard: found });
    const response = await handle(ask('?deep=1', 'health-secret'));
    assert.equal(response.status, 503);
    assert.equal((await response.json()).ok, false);
  });
}

Deno.test('EDGE-01 deep needs the secret, and other methods do nothing', async () => {
  const { handle, answers } = build();
  for (const secret of [undefined, 'health', 'health-secret2']) {
    const [status, message] = await said(await handle(ask('?deep=1', secret)));
    assert.deepEqual([status, message], [401, 'not_authenticated']);
  }
  for (const method of ['POST', 'PUT', 'DELETE']) {
    assert.equal((await handle(ask('', undefined, method))).status, 405);
  }
  assert.deepEqual(answers.calls, []);
});

Deno.test('EDGE-02 HEAD is as GET', async () => {
  const { handle } = build();
  assert.equal((await handle(ask('', undefined, 'HEAD'))).status, 200);
  assert.equal((await handle(ask('?deep=1', undefined, 'HEAD'))).status, 401);
});
