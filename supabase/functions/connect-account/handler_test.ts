import assert from 'node:assert/strict';
import {
  type Answer,
  fakeDatabase,
  fakeLog,
  fakeStripe,
  post,
  said,
  site,
} from '../_shared/fakes_test.ts';
import { Refusal } from '../_shared/http.ts';
import { handler } from './handler.ts';

const payee = { mechanic_id: 'm-1', account: null, email: 'mechanic@example.com' };
const paths = { return_path: '/profile', refresh_path: '/profile?again' };
const account = { body: { id: 'acct_1' } };
const link = { body: { url: 'https://connect.example/1' } };
const kept = {
  status: 400,
  body: { error: { type: 'invalid_request_error', message: 'not a platform' } },
};

function build(stripe: Answer[], answers: Record<string, unknown> = {}) {
  const database = fakeDatabase({
    payout_account: payee,
    list_settings: site,
    set_stripe_account: true,
    ...answers,
  });
  const played = fakeStripe(...stripe);
  const write = fakeLog();
  const handle = handler(() => ({ database, stripe: played.stripe }), write);
  return { handle, database, asked: played.asked, lines: write.lines };
}

Deno.test('EDGE-02 a mechanic without an account gets one, and the way to it', async () => {
  const { handle, database, asked, lines } = build([account, link]);
  const response = await handle(post(paths));
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), { url: 'https://connect.example/1', account: 'acct_1' });
  assert.deepEqual(database.calls, [
    { as: 'token', name: 'payout_account', args: {} },
    { as: 'system', name: 'list_settings', args: {} },
    {
      as: 'system',
      name: 'set_stripe_account',
      args: { p_mechanic_id: 'm-1', p_account: 'acct_1' },
    },
  ]);
  assert.equal(asked[0].path, '/v1/accounts');
  assert.equal(asked[0].key, 'connect:m-1');
  assert.deepEqual(asked[0].form, {
    'type': 'express',
    'email': 'mechanic@example.com',
    'capabilities[transfers][requested]': 'true',
    'metadata[mechanic_id]': 'm-1',
  });
  assert.equal(asked[1].path, '/v1/account_links');
  assert.deepEqual(asked[1].form, {
    account: 'acct_1',
    type: 'account_onboarding',
    return_url: 'https://example.com/app/profile',
    refresh_url: 'https://example.com/app/profile?again',
  });
  assert.deepEqual(lines, [
    { function: 'connect-account', mechanic_id: 'm-1', account: 'acct_1' },
  ]);
});

Deno.test('EDGE-02 a mechanic with an account keeps it', async () => {
  const { handle, database, asked } = build([link], {
    payout_account: { ...payee, account: 'acct_9' },
  });
  assert.equal((await (await handle(post(paths))).json()).account, 'acct_9');
  assert.deepEqual(asked.map(({ path }) => path), ['/v1/account_links']);
  assert.equal(database.calls.some(({ name }) => name === 'set_stripe_account'), false);
});

Deno.test('EDGE-02 a refusal that Stripe kept does not stand in the way for a day', async () => {
  const { handle, asked } = build([{ ...kept, replayed: true }, account, link]);
  assert.equal((await handle(post(paths))).status, 200);
  assert.deepEqual(asked.map(({ key }) => key).slice(0, 2), ['connect:m-1', 'connect:m-1:2']);
  const refused = build([kept]);
  assert.equal((await refused.handle(post(paths))).status, 502);
  const often = build([1, 2, 3].map(() => ({ ...kept, replayed: true })));
  assert.equal((await often.handle(post(paths))).status, 502);
});

Deno.test('EDGE-01 bad input and foreign callers are refused before Stripe is asked', async () => {
  const refusedWith = async (request: Request, status: number, message: string) => {
    const { handle, asked } = build([], {
      payout_account: new Refusal(403, 'role_required', 'The caller is not a mechanic.'),
    });
    assert.deepEqual((await said(await handle(request))).slice(0, 2), [status, message]);
    assert.equal(asked.length, 0);
  };
  await refusedWith(post(paths), 403, 'role_required');
  await refusedWith(post({}), 422, 'invalid_argument');
  await refusedWith(post({ ...paths, refresh_path: '//evil.example' }), 422, 'invalid_argument');
  await refusedWith(post({ ...paths, return_path: 7 }), 422, 'invalid_argument');
  await refusedWith(post(''), 400, 'invalid_body');
  await refusedWith(post(paths, { authorization: 'Basic x' }), 401, 'not_authenticated');
  await refusedWith(new Request('http://127.0.0.1/'), 405, 'method_not_allowed');
});

Deno.test('EDGE-02 not kept by the database: said so, and no way to it is given', async () => {
  const { handle, asked } = build([account], {
    set_stripe_account: new Refusal(503, 'database_unavailable'),
  });
  assert.equal((await handle(post(paths))).status, 503);
  assert.deepEqual(asked.map(({ path }) => path), ['/v1/accounts']);
});

Deno.test('EDGE-02 an account begun with another address: said so, and none is made', async () => {
  const conflict = { type: 'idempotency_error', message: 'other parameters' };
  const { handle, asked } = build([{ status: 400, body: { error: conflict } }]);
  assert.deepEqual(await said(await handle(post(paths))), [
    409,
    'idempotency_conflict',
    'The account was begun with another e-mail address, less than a day ago.',
  ]);
  assert.equal(asked.length, 1);
});
