import assert from 'node:assert/strict';
import { type SupabaseClient, systemOf } from './database.ts';
import { fakeLog } from './fakes_test.ts';

function answering(status: number, message: string) {
  const error = { message, details: 'Why.', hint: null, code: 'PGRST301' };
  const supabase = { rpc: () => Promise.resolve({ data: null, error, status }) };
  const write = fakeLog();
  return { system: systemOf(supabase as unknown as SupabaseClient, write), lines: write.lines };
}

for (const status of [401, 403]) {
  Deno.test(`EDGE-01 a key of the system that gets ${status} is not the caller's fault`, async () => {
    const { system, lines } = answering(status, 'Invalid API key sb_secret_x');
    await assert.rejects(system('list_settings'), { status: 503, message: 'database_unavailable' });
    assert.deepEqual(lines, [
      { level: 'error', database: 'list_settings', status, error: 'Refusal PGRST301' },
    ]);
  });
}

Deno.test('EDGE-01 what the database refuses to the system is told as it was said', async () => {
  for (const [status, message] of [[404, 'session_not_found'], [409, 'session_locked']] as const) {
    const { system, lines } = answering(status, message);
    await assert.rejects(system('record_checkout'), { status, message, details: 'Why.' });
    assert.deepEqual(lines, []);
  }
});
