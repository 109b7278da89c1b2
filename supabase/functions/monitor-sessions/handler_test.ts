import assert from 'node:assert/strict';
import { fakeDatabase, fakeLog, post, said } from '../_shared/fakes_test.ts';
import { Refusal } from '../_shared/http.ts';
import { handler } from './handler.ts';

const counts = { nudged_mechanics: 1, alerted_support: 0, auto_closed: 0, unattended: 2 };

function build(answer: unknown) {
  const database = fakeDatabase({ monitor_sessions: answer });
  const write = fakeLog();
  const handle = handler(() => ({ system: database.system, secret: 'cron-secret' }), write);
  return { handle, calls: database.calls, lines: write.lines };
}

const ask = (authorization: string) => post({}, { authorization });

Deno.test('SLA-01 with the secret it runs once and answers what it did', async () => {
  const { handle, calls, lines } = build(counts);
  const response = await handle(ask('Bearer cron-secret'));
  assert.deepEqual([response.status, await response.json()], [200, counts]);
  assert.deepEqual(calls, [{ as: 'system', name: 'monitor_sessions', args: {} }]);
  assert.deepEqual(lines, [{ function: 'monitor-sessions', ...counts }]);
});

Deno.test('EDGE-01 without the secret, or by another method, nothing runs', async () => {
  const { handle, calls, lines } = build(counts);
  for (
    const authorization of ['', 'cron-secret', 'Bearer', 'Bearer cron', 'Bearer cron-secret2']
  ) {
    const [status, message] = await said(await handle(ask(authorization)));
    assert.deepEqual([status, message], [401, 'not_authenticated']);
  }
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
    const headers = { authorization: 'Bearer cron-secret' };
    const response = await handle(new Request('http://127.0.0.1/', { method, headers }));
    assert.deepEqual([response.status, response.headers.get('allow')], [405, 'POST, OPTIONS']);
  }
  assert.deepEqual([calls, lines], [[], []]);
});

Deno.test('EDGE-02 what the database says comes through as it is', async () => {
  const { handle } = build(new Refusal(503, 'database_unavailable', 'Why.'));
  const answer = await said(await handle(ask('Bearer cron-secret')));
  assert.deepEqual(answer, [503, 'database_unavailable', 'Why.']);
});
