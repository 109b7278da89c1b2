import assert from 'node:assert/strict';
import { TooLate, within } from './within.ts';

Deno.test('EDGE-02 work is waited for so long and no longer', async () => {
  assert.equal(await within(1, Promise.resolve('done')), 'done');
  await assert.rejects(within(1, Promise.reject(new TypeError('broken'))), TypeError);
  await assert.rejects(within(0.01, new Promise(() => {})), new TooLate(0.01));
});
