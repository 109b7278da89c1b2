import assert from 'node:assert/strict';
import { fakeDatabase, fakeLog, post, said } from '../_shared/fakes_test.ts';
import { Refusal } from '../_shared/http.ts';
import { Stripe } from '../_shared/stripe.ts';
import { handler } from './handler.ts';

const SECRET = 'whsec_test_fake';
const event = {
  id: 'evt_1',
  type: 'charge.refunded',
  livemode: false,
  data: { object: { receipt_email: 'somebody@example.com' } },
};
const payload = JSON.stringify(event);

function build(answer: unknown) {
  const database = fakeDatabase({ ingest_stripe_event: answer });
  const write = fakeLog();
  const handle = handler(() => ({ system: database.system, secrets: SECRET }), write);
  return { handle, calls: database.calls, lines: write.lines };
}

async function signed(body = payload, secret = SECRET): Promise<Request> {
  const signature = await Stripe.webhooks.generateTestHeaderStringAsync({ payload: body, secret });
  return post(body, { 'stripe-signature': signature });
}

for (
  const [status, duplicate] of [
    ['processed', false],
    ['processed', true],
    ['ignored', false],
  ] as const
) {
  Deno.test(`MON-05 ${status}, duplicate ${duplicate}: Stripe need not send it again`, async () => {
    const { handle, calls, lines } = build({ status, duplicate, error: null });
    const response = await handle(await signed());
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { received: true, status, duplicate });
    assert.deepEqual(calls, [
      { as: 'system', name: 'ingest_stripe_event', args: { p_event: event } },
    ]);
    assert.deepEqual(lines, [{
      function: 'stripe-webhook',
      level: 'info',
      event: 'evt_1',
      type: 'charge.refunded',
      status,
      duplicate,
    }]);
  });
}

Deno.test('MON-05 an event that failed is a 5xx, and its error stays inside', async () => {
  const { handle, lines } = build({ status: 'failed', duplicate: false, error: 'a secret' });
  const answer = await said(await handle(await signed()));
  assert.deepEqual(answer.slice(0, 2), [500, 'event_failed']);
  assert.equal(lines[0].level, 'error');
  assert.doesNotMatch(JSON.stringify([answer, lines]), /a secret/);
});

Deno.test('MON-05 whatever may be over when it is sent again is a 5xx', async () => {
  for (
    const [refusal, status] of [
      [new Refusal(409, 'session_locked'), 503],
      [new Refusal(401, 'Invalid API key', null, null, 'PGRST301'), 503],
      [new Refusal(503, 'database_unavailable'), 503],
      [new Refusal(500, 'deadlock detected', null, null, '40P01'), 500],
      [new Refusal(422, 'invalid_argument'), 422],
    ] as const
  ) {
    const answer = await said(await build(refusal).handle(await signed()));
    assert.deepEqual(answer.slice(0, 2), [status, refusal.message]);
  }
});

Deno.test('EDGE-01 what Stripe did not sign never reaches the database', async () => {
  const refusedWith = async (request: Request, status: number, message: string) => {
    const { handle, calls } = build({});
    assert.deepEqual((await said(await handle(request))).slice(0, 2), [status, message]);
    assert.deepEqual(calls, []);
  };
  const headers = { 'stripe-signature': (await signed()).headers.get('stripe-signature') ?? '' };
  await refusedWith(post(payload), 400, 'invalid_signature');
  await refusedWith(post(payload.replace('1', '2'), headers), 400, 'invalid_signature');
  await refusedWith(post('', headers), 400, 'invalid_signature');
  await refusedWith(await signed(payload, 'whsec_other'), 400, 'invalid_signature');
  await refusedWith(post('x'.repeat(1024 * 1024 + 1), headers), 413, 'body_too_large');
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const request = new Request('http://127.0.0.1/', { method });
    await refusedWith(request, 405, 'method_not_allowed');
  }
});
