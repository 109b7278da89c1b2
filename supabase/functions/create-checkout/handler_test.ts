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

const MADE = Date.parse('2026-01-02T03:04:05.678Z');
const made = Math.floor(MADE / 1000);
const MINUTE = 60_000;
const intent = {
  id: '11111111-1111-4111-8111-111111111111',
  status: 'open',
  plan: 'video15',
  price_cents: 1500,
  currency: 'usd',
  duration_minutes: 45,
  created_at: '2026-01-02T03:04:05.678+00:00',
};
const extension = {
  id: '22222222-2222-4222-8222-222222222222',
  status: 'pending',
  minutes: 15,
  price_cents: 500,
  currency: 'eur',
  created_at: '2026-01-02T03:04:05.678+00:00',
};
const paths = { success_path: '/paid?id={CHECKOUT_SESSION_ID}', cancel_path: '/plans' };
const buy = { mode: 'session', plan: 'video15', ...paths };
const extend = {
  mode: 'extension',
  session_id: '33333333-3333-4333-8333-333333333333',
  minutes: 15,
  ...paths,
};
const opened = (id: string, more = {}) => ({
  id,
  url: `https://checkout.example/${id}`,
  status: 'open',
  payment_status: 'unpaid',
  ...more,
});
const tooSoon = {
  status: 400,
  body: { error: { type: 'invalid_request_error', param: 'expires_at', message: 'too soon' } },
};

interface Given {
  answers?: Record<string, unknown>;
  stripe?: Answer[];
  after?: number;
}

function build({ answers = {}, stripe = [{ body: opened('cs_1') }], after = 1000 }: Given = {}) {
  const database = fakeDatabase({
    request_checkout: intent,
    request_extension: extension,
    list_settings: site,
    recorded_checkout: null,
    record_checkout: 'payment',
    ...answers,
  });
  const played = fakeStripe(...stripe);
  const write = fakeLog();
  const handle = handler(
    () => ({ database, stripe: played.stripe, now: () => MADE + after }),
    write,
  );
  return { handle, database, asked: played.asked, lines: write.lines };
}

Deno.test('EDGE-02 a session: what the database asks for is what Stripe asks for', async () => {
  const { handle, database, asked, lines } = build();
  const intake = { noise: 'squeal' };
  const response = await handle(post({
    ...buy,
    intake,
    preferred_mechanic_id: extend.session_id,
    scheduled_for: '2026-02-01T10:00:00Z',
    idempotency_key: 'once',
  }));
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    url: 'https://checkout.example/cs_1',
    id: 'cs_1',
    intent_id: intent.id,
  });
  assert.deepEqual(database.calls, [
    {
      as: 'token',
      name: 'request_checkout',
      args: {
        p_plan: 'video15',
        p_intake: intake,
        p_preferred_mechanic_id: extend.session_id,
        p_scheduled_for: '2026-02-01T10:00:00Z',
        p_idempotency_key: 'once',
      },
    },
    { as: 'system', name: 'list_settings', args: {} },
    {
      as: 'system',
      name: 'recorded_checkout',
      args: { p_purpose: 'session', p_purpose_id: intent.id },
    },
    {
      as: 'system',
      name: 'record_checkout',
      args: { p_purpose: 'session', p_purpose_id: intent.id, p_checkout_session_id: 'cs_1' },
    },
  ]);
  assert.deepEqual(asked, [{
    method: 'POST',
    path: '/v1/checkout/sessions',
    key: `checkout:session:${intent.id}:0`,
    form: {
      'mode': 'payment',
      'client_reference_id': intent.id,
      'line_items[0][quantity]': '1',
      'line_items[0][price_data][currency]': 'usd',
      'line_items[0][price_data][unit_amount]': '1500',
      'line_items[0][price_data][product_data][name]': 'A session of 45 minutes',
      'metadata[mode]': 'session',
      'metadata[intent_id]': intent.id,
      'payment_intent_data[metadata][mode]': 'session',
      'payment_intent_data[metadata][intent_id]': intent.id,
      'adaptive_pricing[enabled]': 'false',
      'expires_at': String(made + 31 * 60),
      'success_url': 'https://example.com/app/paid?id={CHECKOUT_SESSION_ID}',
      'cancel_url': 'https://example.com/app/plans',
    },
  }]);
  assert.deepEqual(lines, [
    { function: 'create-checkout', mode: 'session', id: 'cs_1', intent_id: intent.id },
  ]);
});

Deno.test('EDGE-02 an extension: the same, with the extension', async () => {
  const { handle, database, asked } = build();
  const response = await handle(post(extend));
  assert.deepEqual(await response.json(), {
    url: 'https://checkout.example/cs_1',
    id: 'cs_1',
    extension_id: extension.id,
  });
  assert.deepEqual(database.calls[0], {
    as: 'token',
    name: 'request_extension',
    args: { p_session_id: extend.session_id, p_minutes: 15 },
  });
  assert.deepEqual(database.calls[3].args, {
    p_purpose: 'extension',
    p_purpose_id: extension.id,
    p_checkout_session_id: 'cs_1',
  });
  const { form, key } = asked[0];
  assert.equal(key, `checkout:extension:${extension.id}:0`);
  assert.equal(form['line_items[0][price_data][unit_amount]'], '500');
  assert.equal(form['line_items[0][price_data][currency]'], 'eur');
  assert.equal(form['payment_intent_data[metadata][extension_id]'], extension.id);
});

Deno.test('EDGE-01 bad input is refused before anybody is asked', async () => {
  const refusedWith = async (request: Request, status: number, message: string, about: RegExp) => {
    const { handle, database, asked } = build();
    const [code, told, details] = await said(await handle(request));
    assert.deepEqual([code, told], [status, message]);
    assert.match(details, about);
    assert.deepEqual([database.calls, asked], [[], []]);
  };
  const invalid = (body: unknown, about: RegExp) =>
    refusedWith(post(body), 422, 'invalid_argument', about);
  await invalid({ ...buy, mode: undefined }, /mode/);
  await invalid({ ...buy, mode: 'gift' }, /mode/);
  await invalid({ ...buy, plan: undefined }, /plan/);
  await invalid({ ...buy, plan: 7 }, /plan/);
  await invalid({ ...buy, success_path: 'https://evil.example' }, /success_path/);
  await invalid({ ...buy, cancel_path: '//evil.example' }, /cancel_path/);
  await invalid({ ...extend, session_id: undefined }, /session_id/);
  await invalid({ ...extend, session_id: 'x' }, /session_id/);
  await invalid({ ...extend, minutes: undefined }, /minutes/);
  await invalid({ ...extend, minutes: '15' }, /minutes/);
  await invalid({ ...extend, minutes: 1.5 }, /minutes/);
  await refusedWith(post(''), 400, 'invalid_body', /empty/);
  await refusedWith(post('{'), 400, 'invalid_body', /JSON/);
  await refusedWith(post([]), 400, 'invalid_body', /object/);
  await refusedWith(post('x'.repeat(70_000)), 413, 'body_too_large', /65536/);
  await refusedWith(post(buy, { authorization: '' }), 401, 'not_authenticated', /token/);
  await refusedWith(new Request('http://127.0.0.1/'), 405, 'method_not_allowed', /POST/);
});

Deno.test('EDGE-01 a price, or anything else that is not asked for, is not taken', async () => {
  for (
    const more of [{ price_cents: 1 }, { amount: 1 }, { customer_user_id: 'x' }, { minutes: 1 }]
  ) {
    const { handle, asked } = build();
    const [status, message, details] = await said(await handle(post({ ...buy, ...more })));
    assert.deepEqual([status, message], [422, 'invalid_argument']);
    assert.ok(details.startsWith(Object.keys(more)[0]));
    assert.equal(asked.length, 0);
  }
});

Deno.test('EDGE-01 what the database refuses comes through as it is, and nothing is opened', async () => {
  const refusal = new Refusal(409, 'active_session_exists', 'the id', 'Go back to it.');
  const { handle, asked } = build({ answers: { request_checkout: refusal } });
  const response = await handle(post(buy));
  assert.equal(response.status, 409);
  assert.deepEqual(await response.json(), {
    code: 'PT409',
    message: 'active_session_exists',
    details: 'the id',
    hint: 'Go back to it.',
  });
  assert.equal(asked.length, 0);
});

for (const status of ['paid', 'to_credit', 'in_review']) {
  Deno.test(`EDGE-01 an intent that is ${status} is not sold again`, async () => {
    const { handle, asked } = build({ answers: { request_checkout: { ...intent, status } } });
    assert.deepEqual((await said(await handle(post(buy)))).slice(0, 2), [409, 'already_paid']);
    assert.equal(asked.length, 0);
  });
}

Deno.test('EDGE-02 asked again, the open Checkout is found by the same request', async () => {
  const { handle, asked } = build({
    after: 20 * MINUTE,
    stripe: [{ body: opened('cs_1'), replayed: true }, { body: opened('cs_1') }],
  });
  const response = await handle(post(buy));
  assert.equal((await response.json()).id, 'cs_1');
  assert.deepEqual(asked.map(({ method, path, key }) => [method, path, key]), [
    ['POST', '/v1/checkout/sessions', `checkout:session:${intent.id}:0`],
    ['GET', '/v1/checkout/sessions/cs_1', null],
  ]);
  const { form } = asked[0];
  assert.equal(form.expires_at, String(made + 31 * 60));
});

Deno.test('EDGE-02 first asked late, Stripe opens none that ends too soon, and then the next', async () => {
  const { handle, asked } = build({
    after: 20 * MINUTE,
    stripe: [tooSoon, { body: opened('cs_2') }],
  });
  assert.equal((await (await handle(post(buy))).json()).id, 'cs_2');
  assert.deepEqual(asked.map(({ key, form }) => [key, Number(form.expires_at) - made]), [
    [`checkout:session:${intent.id}:0`, 31 * 60],
    [`checkout:session:${intent.id}:1`, 61 * 60],
  ]);
});

Deno.test('EDGE-02 a Checkout lives 30 to 31 minutes when it is asked for at once, else up to 60', async () => {
  for (const seconds of [0, 30, 59.9, 60, 61, 1800, 1859, 1860, 86_400]) {
    const { handle, asked } = build({
      after: seconds * 1000,
      stripe: [...(seconds >= 60 ? [tooSoon] : []), { body: opened('cs_1') }],
    });
    assert.equal((await handle(post(buy))).status, 200);
    const lives = Number(asked.at(-1)?.form.expires_at) - (MADE / 1000 + seconds);
    const [least, most] = seconds < 60 ? [1799, 1860] : [1799, 3600];
    assert.ok(lives > least && lives <= most, `${seconds}: ${lives}`);
  }
});

Deno.test('EDGE-02 a closed Checkout is followed by a new one, a paid one by none', async () => {
  const closed = opened('cs_1', { status: 'expired', url: null });
  const again = build({
    stripe: [{ body: opened('cs_1'), replayed: true }, { body: closed }, { body: opened('cs_2') }],
  });
  assert.equal((await (await again.handle(post(extend))).json()).id, 'cs_2');

  const complete = opened('cs_1', { status: 'complete', payment_status: 'paid' });
  const paid = build({ stripe: [{ body: opened('cs_1'), replayed: true }, { body: complete }] });
  const answer = await said(await paid.handle(post(extend)));
  assert.deepEqual(answer.slice(0, 2), [409, 'already_paid']);
  assert.equal(paid.database.calls.some(({ name }) => name === 'record_checkout'), false);
});

const paying = (status: string, id = 'cs_1') =>
  opened(id, { status: 'complete', payment_intent: { id: 'pi_1', status } });

for (const status of ['open', 'failed']) {
  Deno.test(`EDGE-02 of an intent that is ${status}, Stripe tells whether it was paid`, async () => {
    const answers = { request_checkout: { ...intent, status } };
    for (const on of ['processing', 'succeeded', 'requires_action', 'requires_capture']) {
      const stripe = [{ body: opened('cs_1'), replayed: true }, { body: paying(on) }];
      const { handle, asked } = build({ answers, stripe });
      assert.deepEqual((await said(await handle(post(buy)))).slice(0, 2), [409, 'already_paid']);
      assert.deepEqual(asked[1].form, { 'expand[0]': 'payment_intent' });
    }
    for (const over of ['requires_payment_method', 'canceled']) {
      const stripe = [{ body: opened('cs_1'), replayed: true }, { body: paying(over) }];
      const { handle } = build({ answers, stripe: [...stripe, { body: opened('cs_2') }] });
      assert.equal((await (await handle(post(buy))).json()).id, 'cs_2');
    }
  });
}

const pages = {
  success_url: 'https://example.com/app/paid?id={CHECKOUT_SESSION_ID}',
  cancel_url: 'https://example.com/app/plans',
};
const HOURS = 60 * MINUTE;

for (
  const [mode, body, of] of [['session', buy, intent], ['extension', extend, extension]] as const
) {
  const long_ago = (...stripe: Answer[]) =>
    build({ answers: { recorded_checkout: 'cs_1' }, after: 5 * HOURS, stripe });

  Deno.test(`EDGE-02 ${mode}: what was paid hours ago is not sold again`, async () => {
    for (
      const checkout of [
        paying('processing'),
        opened('cs_1', { status: 'complete', payment_status: 'paid', payment_intent: 'pi_1' }),
        opened('cs_1', { status: 'complete', payment_status: 'no_payment_required' }),
      ]
    ) {
      const { handle, asked, database } = long_ago({ body: checkout });
      const answer = await said(await handle(post(body)));
      assert.deepEqual(answer.slice(0, 2), [409, 'already_paid']);
      assert.deepEqual(asked.map(({ method, path, form }) => [method, path, form]), [
        ['GET', '/v1/checkout/sessions/cs_1', { 'expand[0]': 'payment_intent' }],
      ]);
      assert.deepEqual(database.calls.at(-1), {
        as: 'system',
        name: 'recorded_checkout',
        args: { p_purpose: mode, p_purpose_id: of.id },
      });
    }
  });

  Deno.test(`EDGE-02 ${mode}: what failed or expired hours ago is sold anew`, async () => {
    for (
      const over of [
        paying('requires_payment_method'),
        opened('cs_1', { status: 'expired', url: null }),
      ]
    ) {
      const { handle } = long_ago({ body: over }, tooSoon, { body: opened('cs_2') });
      assert.equal((await (await handle(post(body))).json()).id, 'cs_2');
    }
  });

  Deno.test(`EDGE-01 ${mode}: what is noted as open is the answer, to the same paths`, async () => {
    const open = { body: opened('cs_1', pages) };
    const same = long_ago(open);
    assert.equal((await (await same.handle(post(body))).json()).id, 'cs_1');
    assert.equal(same.asked.length, 1);
    for (const other of [{ success_path: '/else' }, { cancel_path: '/else' }]) {
      const { handle, asked } = long_ago(open);
      const answer = await said(await handle(post({ ...body, ...other })));
      assert.deepEqual(answer.slice(0, 2), [409, 'idempotency_conflict']);
      assert.equal(asked.length, 1);
    }
  });
}

Deno.test('EDGE-02 a refusal that Stripe kept does not stand in the way for a day', async () => {
  const broken = { status: 500, body: { error: { type: 'api_error', message: 'broken' } } };
  const first = build({ stripe: [broken] });
  assert.deepEqual((await said(await first.handle(post(buy)))).slice(0, 2), [
    502,
    'stripe_unavailable',
  ]);
  const second = build({ stripe: [{ ...broken, replayed: true }, { body: opened('cs_2') }] });
  assert.equal((await second.handle(post(buy))).status, 200);
  assert.equal(second.asked[1].key, `checkout:session:${intent.id}:1`);
  const third = build({ stripe: [{ ...broken, replayed: true }, { ...broken, replayed: true }] });
  assert.equal((await third.handle(post(buy))).status, 502);
});

Deno.test('EDGE-01 other paths for what is open are refused, not opened twice', async () => {
  const { handle, asked } = build({
    stripe: [{ status: 400, body: { error: { type: 'idempotency_error', message: 'other' } } }],
  });
  const answer = await said(await handle(post(extend)));
  assert.deepEqual(answer.slice(0, 2), [409, 'idempotency_conflict']);
  assert.equal(asked.length, 1);
});

Deno.test('EDGE-02 Stripe does not answer: said so, nothing noted', async () => {
  const lost = new TypeError('connection closed');
  const { handle, database, asked, lines } = build({ stripe: [lost, lost, lost] });
  assert.deepEqual((await said(await handle(post(buy)))).slice(0, 2), [504, 'stripe_unavailable']);
  const key = `checkout:session:${intent.id}:0`;
  assert.deepEqual(asked.map((request) => request.key), [key, key, key]);
  assert.equal(database.calls.some(({ name }) => name === 'record_checkout'), false);
  assert.equal(lines.length, 1);
});

Deno.test('EDGE-02 not noted: nobody gets the page, and asking again finds it', async () => {
  const refusal = new Refusal(503, 'database_unavailable');
  const { handle, asked } = build({ answers: { record_checkout: refusal } });
  const response = await handle(post(buy));
  const body = await response.text();
  assert.equal(response.status, 503);
  assert.doesNotMatch(body, /cs_1/);
  assert.deepEqual(asked.map(({ path }) => path), ['/v1/checkout/sessions']);
});
