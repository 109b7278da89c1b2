import assert from 'node:assert/strict';
import { openStripe } from '../../_shared/stripe.ts';
import { type Claim, reasonOf, type Row, type Undone } from '../delivery.ts';
import { type Asked, claimOf, environment, fakeFetch } from '../fakes_test.ts';
import { stripeDeliveries } from './stripe.ts';

type Answers = Parameters<typeof fakeFetch>;

const TRANSFER = claimOf('stripe.transfer', {
  payout_id: 'p1',
  session_id: 's1',
  amount: 1400,
  currency: 'usd',
  destination: 'acct_1',
}, { key: 'payout:p1', idempotency_key: 'payout:p1#3' });
const REFUND = claimOf('stripe.refund', {
  payment_intent: 'pi_1',
  amount: 600,
  currency: 'usd',
  refund_id: 'r1',
}, { key: 'refund:k', idempotency_key: 'refund:k#1' });
const REVERSAL = claimOf('stripe.transfer_reversal', {
  payout_id: 'p1',
  outbox_key: 'payout:p1',
  transfer: 'tr_1',
  amount: 420,
  currency: 'usd',
}, { key: 'reversal:p1:k', idempotency_key: 'reversal:p1:k#1' });
const EXPIRE = claimOf('stripe.expire_checkout', { checkout_session_id: 'cs_test_1' });
const SENDING = [TRANSFER, REFUND, REVERSAL];

const sentTransfer = { id: 'tr_1', object: 'transfer', amount: 1400, currency: 'usd' };
const page = (data: Row[], has_more = false) => ({ object: 'list', data, has_more, url: '/v1/x' });
const found = (claim: Claim, row: Row) => ({ ...row, metadata: { outbox_key: claim.key } });
const other = (id: string) => ({ id, metadata: { outbox_key: 'another' } });

async function deliver(claim: Claim, ...answers: Answers) {
  const { asked, fetchFn } = fakeFetch(...answers);
  const env = environment({
    STRIPE_SECRET_KEY: 'sk_test_fake',
    STRIPE_API_URL: 'http://127.0.0.1:9',
  });
  const deliveries = stripeDeliveries(() => openStripe(env, fetchFn));
  const work = deliveries[claim.topic](claim);
  const outcome = await work.then(
    (result) => ({ result }),
    (error) => ({ error: reasonOf(error, claim) }),
  );
  return { asked, ...outcome } as { asked: Asked[]; result?: Row; error?: Undone };
}

const looking = (claim: Claim): Claim => ({ ...claim, must_look_first: true });
const path = ({ method, url }: Asked) => `${method} ${new URL(url).pathname}`;
const form = (asked: Asked) => Object.fromEntries(new URLSearchParams(asked.body));
const query = (asked: Asked) => Object.fromEntries(new URL(asked.url).searchParams);

Deno.test('MON-18 a transfer is sent under its key, and says whose it is', async () => {
  const { asked, result } = await deliver(TRANSFER, [200, sentTransfer]);
  assert.deepEqual(asked.map(path), ['POST /v1/transfers']);
  assert.equal(asked[0].headers.get('idempotency-key'), 'payout:p1#3');
  assert.deepEqual(form(asked[0]), {
    amount: '1400',
    currency: 'usd',
    destination: 'acct_1',
    transfer_group: 'payout:p1',
    'metadata[outbox_key]': 'payout:p1',
    'metadata[payout_id]': 'p1',
    'metadata[session_id]': 's1',
  });
  assert.deepEqual(result, { id: 'tr_1', amount: 1400, currency: 'usd' });
});

Deno.test('MON-18 a refund is asked for under its key, and says what became of it', async () => {
  const made = { id: 're_1', amount: 600, status: 'pending' };
  const { asked, result } = await deliver(REFUND, [200, made]);
  assert.deepEqual(asked.map(path), ['POST /v1/refunds']);
  assert.equal(asked[0].headers.get('idempotency-key'), 'refund:k#1');
  assert.deepEqual(form(asked[0]), {
    payment_intent: 'pi_1',
    amount: '600',
    'metadata[outbox_key]': 'refund:k',
    'metadata[refund_id]': 'r1',
  });
  assert.deepEqual(result, { ...made, failure_reason: undefined });
});

Deno.test('MON-18 a reversal says how much of the transfer has come back in all', async () => {
  const made = { id: 'trr_1', amount: 420, transfer: { id: 'tr_1', amount_reversed: 900 } };
  const { asked, result } = await deliver(REVERSAL, [200, made]);
  assert.deepEqual(asked.map(path), ['POST /v1/transfers/tr_1/reversals']);
  assert.equal(asked[0].headers.get('idempotency-key'), 'reversal:p1:k#1');
  assert.equal(form(asked[0])['metadata[outbox_key]'], 'reversal:p1:k');
  assert.deepEqual(result, { id: 'trr_1', amount: 420, transfer: 'tr_1', amount_reversed: 900 });
});

Deno.test('MON-18 what Stripe already has completes the row, and nothing is sent', async () => {
  const transfer = await deliver(
    looking(TRANSFER),
    [200, page([other('tr_0'), found(TRANSFER, sentTransfer)])],
  );
  assert.deepEqual(transfer.asked.map(path), ['GET /v1/transfers']);
  assert.equal(query(transfer.asked[0]).transfer_group, 'payout:p1');
  assert.equal(transfer.result?.id, 'tr_1');

  const refund = await deliver(
    looking(REFUND),
    [200, page([other('re_0'), found(REFUND, { id: 're_1', amount: 600, status: 'succeeded' })])],
  );
  assert.deepEqual(refund.asked.map(path), ['GET /v1/refunds']);
  assert.equal(query(refund.asked[0]).payment_intent, 'pi_1');
  assert.equal(refund.result?.status, 'succeeded');

  const made = { id: 'trr_1', amount: 420, transfer: { id: 'tr_1', amount_reversed: 420 } };
  const reversal = await deliver(looking(REVERSAL), [200, page([found(REVERSAL, made)])]);
  assert.deepEqual(reversal.asked.map(path), ['GET /v1/transfers/tr_1/reversals']);
  assert.equal(reversal.result?.amount_reversed, 420);
});

Deno.test('MON-18 one sent by hand, or to an earlier account, is found too', async () => {
  const { asked, result } = await deliver(
    looking(TRANSFER),
    [200, page([])],
    [200, page([other('tr_0')], true)],
    [200, page([found(TRANSFER, sentTransfer)])],
  );
  assert.deepEqual(asked.map(path), Array(3).fill('GET /v1/transfers'));
  // What is older than the row cannot be it: a long history is not paged through.
  assert.deepEqual(query(asked[1]), {
    destination: 'acct_1',
    'created[gte]': String(Date.UTC(2026, 0, 1, 12) / 1000 - 60),
    limit: '100',
  });
  assert.equal(query(asked[2]).starting_after, 'tr_0');
  assert.equal(result?.id, 'tr_1');
});

Deno.test('MON-18 what Stripe does not have is sent, under the same key', async () => {
  const { asked, result } = await deliver(
    looking(TRANSFER),
    [200, page([])],
    [200, page([other('tr_0')])],
    [200, sentTransfer],
  );
  assert.deepEqual(asked.map(path).slice(-1), ['POST /v1/transfers']);
  assert.equal(asked[2].headers.get('idempotency-key'), 'payout:p1#3');
  assert.equal(result?.id, 'tr_1');
});

Deno.test('MON-18 while Stripe cannot be asked nothing is sent, and the doubt stays', async () => {
  for (const claim of SENDING) {
    for (const status of [400, 401, 404, 429, 500]) {
      const refused = { error: { type: 'invalid_request_error', message: 'No.' } };
      const { asked, error } = await deliver(looking(claim), [status, refused]);
      assert.equal(asked.length, 1, claim.topic);
      assert.equal(error?.ambiguous, true, `${claim.topic} ${status}`);
    }
    const { asked, error } = await deliver(looking(claim), new TypeError('connection reset'));
    assert.equal(asked.length, 1);
    assert.equal(error?.ambiguous, true);
  }
});

Deno.test('MON-18 only a refusal that Stripe stands by is definitive', async () => {
  const kinds: [number, Row, boolean][] = [
    [400, { type: 'invalid_request_error', code: 'balance_insufficient' }, false],
    [402, { type: 'card_error', code: 'card_declined' }, false],
    [404, { type: 'invalid_request_error', code: 'resource_missing' }, false],
    [400, { type: 'idempotency_error' }, true],
    [400, { type: 'invalid_request_error', code: 'rate_limit' }, true],
    [401, { type: 'invalid_request_error' }, true],
    [403, { type: 'invalid_request_error' }, true],
    [409, { type: 'idempotency_error', code: 'idempotency_key_in_use' }, true],
    [429, { type: 'invalid_request_error', code: 'lock_timeout' }, true],
    [500, { type: 'api_error' }, true],
    [502, { type: 'api_error' }, true],
    [503, { type: 'api_error' }, true],
  ];
  for (const claim of SENDING) {
    for (const [status, kind, ambiguous] of kinds) {
      const { asked, error } = await deliver(claim, [status, {
        error: { ...kind, message: 'Because.' },
      }]);
      assert.equal(asked.length, 1);
      assert.equal(error?.ambiguous, ambiguous, `${claim.topic} ${status} ${JSON.stringify(kind)}`);
      assert.match(String(error?.message), new RegExp(`^Stripe: ${status}`));
    }
    for (
      const error of [new TypeError('connection reset'), new DOMException('late', 'TimeoutError')]
    ) {
      const lost = await deliver(claim, error);
      assert.equal(lost.error?.ambiguous, true);
    }
    // An answer that is cut off, or not Stripe's.
    const cut = await deliver(claim, [200, undefined]);
    assert.equal(cut.error?.ambiguous, true);
  }
});

Deno.test('MON-18 what Stripe says of a wrong key is not kept, as it shows parts of it', async () => {
  const { error } = await deliver(TRANSFER, [401, {
    error: { type: 'invalid_request_error', message: 'Invalid API Key provided: sk_test_****ake' },
  }]);
  assert.doesNotMatch(String(error?.message), /sk_/);
});

Deno.test('MON-18 a payload that cannot be sent is refused unasked, and leaves the doubt', async () => {
  for (const claim of SENDING) {
    for (const amount of [0, -1, 1.5, '600', null]) {
      const broken = { ...claim, payload: { ...claim.payload, amount } };
      for (const must_look_first of [false, true]) {
        const { asked, error } = await deliver({ ...broken, must_look_first });
        assert.deepEqual([asked.length, error?.ambiguous], [0, must_look_first], claim.topic);
        assert.equal(error?.message, 'invalid_payload: payload.amount is not an amount.');
      }
    }
  }
});

Deno.test('MON-09 an open Checkout is closed; one that is paid or gone is left as it is', async () => {
  const open = await deliver(
    EXPIRE,
    [200, { id: 'cs_test_1', status: 'open' }],
    [200, { id: 'cs_test_1', status: 'expired' }],
  );
  assert.deepEqual(open.asked.map(path), [
    'GET /v1/checkout/sessions/cs_test_1',
    'POST /v1/checkout/sessions/cs_test_1/expire',
  ]);
  assert.deepEqual(open.result, { id: 'cs_test_1', status: 'expired' });
  for (const status of ['complete', 'expired']) {
    const { asked, result } = await deliver(EXPIRE, [200, { id: 'cs_test_1', status }]);
    assert.deepEqual([asked.length, result?.status], [1, status]);
  }
});
