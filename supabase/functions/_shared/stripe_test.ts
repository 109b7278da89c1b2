import assert from 'node:assert/strict';
import { fakeLog, fakeStripe } from './fakes_test.ts';
import { Refusal } from './http.ts';
import { openStripe, refusalOf, signedEvent, Stripe } from './stripe.ts';

const SECRET = 'whsec_test_fake';
const event = { id: 'evt_1', object: 'event', type: 'ping', note: 'é' };
const encoder = new TextEncoder();

function sign(payload: string, more: { secret?: string; timestamp?: number } = {}) {
  return Stripe.webhooks.generateTestHeaderStringAsync({ payload, secret: SECRET, ...more });
}

async function read(
  payload: string,
  signature: string | null,
  secrets = SECRET,
): Promise<Stripe.Event> {
  return await signedEvent(encoder.encode(payload), signature, secrets);
}

const refused = { status: 400, message: 'invalid_signature' };

Deno.test('EDGE-02 what Stripe signed is read, whichever of the secrets signed it', async () => {
  const payload = JSON.stringify(event);
  assert.deepEqual(await read(payload, await sign(payload)), event);
  assert.deepEqual(await read(payload, await sign(payload), `whsec_other, ${SECRET}`), event);
});

Deno.test('EDGE-01 what Stripe did not sign, or long ago, is refused', async () => {
  const payload = JSON.stringify(event);
  const now = Math.floor(Date.now() / 1000);
  const signature = await sign(payload);
  await assert.rejects(read(payload, null), refused);
  await assert.rejects(read(payload, 'nonsense'), refused);
  await assert.rejects(read(payload, `t=${now},v0=00`), refused);
  await assert.rejects(read(payload + ' ', signature), refused);
  await assert.rejects(read('', await sign('')), refused);
  await assert.rejects(read(payload, await sign(payload, { secret: 'whsec_other' })), refused);
  await assert.rejects(read(payload, signature, ','), refused);
  await assert.rejects(read(payload, await sign(payload, { timestamp: now - 302 })), refused);
  await read(payload, await sign(payload, { timestamp: now - 290 }));
  await assert.rejects(read('no json', await sign('no json')), refused);
});

const conflict = () => new Refusal(409, 'idempotency_conflict');

async function refusalFor(answer: Parameters<typeof fakeStripe>[0]) {
  const write = fakeLog();
  const error = await fakeStripe(answer).stripe.accounts.retrieve('acct_1').catch((e: unknown) =>
    e
  );
  const { status, message } = refusalOf(error, 'test', write, conflict) as {
    status: number;
    message: string;
  };
  return { told: [status, message], lines: write.lines };
}

const error = (status: number, type: string, more = {}) => ({
  status,
  body: { error: { type, message: 'sk_test_fake', ...more } },
});

Deno.test('EDGE-02 what Stripe refuses is told by its kind, and logged without its words', async () => {
  for (
    const [answer, ...told] of [
      [new TypeError('connection refused'), 504, 'stripe_unavailable'],
      [error(500, 'api_error'), 502, 'stripe_unavailable'],
      [error(409, 'idempotency_error'), 503, 'stripe_unavailable'],
      [error(429, 'invalid_request_error'), 503, 'stripe_unavailable'],
      [error(400, 'idempotency_error'), 409, 'idempotency_conflict'],
      [error(400, 'invalid_request_error', { code: 'amount_too_small' }), 502, 'stripe_refused'],
      [error(401, 'invalid_request_error'), 502, 'stripe_refused'],
      [error(402, 'card_error'), 502, 'stripe_refused'],
    ] as const
  ) {
    const found = await refusalFor(answer);
    assert.deepEqual(found.told, told);
    assert.equal(found.lines.length, 1);
    assert.doesNotMatch(JSON.stringify(found), /sk_test_fake/);
  }
});

Deno.test('EDGE-02 another error is nothing of Stripe', () => {
  const bug = new TypeError('a bug');
  assert.equal(refusalOf(bug, 'test', fakeLog(), conflict), bug);
});

Deno.test('EDGE-02 a counterpart can take the place of Stripe', async () => {
  const seen: string[] = [];
  const send = ((url: string) => {
    seen.push(url);
    return Promise.resolve(Response.json({ id: 'acct_1' }));
  }) as typeof fetch;
  const settings: Record<string, string> = { STRIPE_SECRET_KEY: 'sk_test_fake' };
  for (const url of ['', 'http://127.0.0.1:12111']) {
    settings.STRIPE_API_URL = url;
    await openStripe((name) => settings[name], send).accounts.retrieve('acct_1');
  }
  assert.deepEqual(seen.map((url) => new URL(url).origin), [
    'https://api.stripe.com',
    'http://127.0.0.1:12111',
  ]);
  assert.throws(() => openStripe(() => undefined), { status: 503, message: 'not_configured' });
});

Deno.test('EDGE-01 the key of Stripe does not leave this machine without TLS', () => {
  const settings: Record<string, string> = { STRIPE_SECRET_KEY: 'sk_test_fake' };
  for (const url of ['http://api.stripe.com', 'ftp://127.0.0.1', 'api.stripe.com', 'wss://x']) {
    settings.STRIPE_API_URL = url;
    assert.throws(() => openStripe((name) => settings[name]), {
      status: 503,
      message: 'not_configured',
      details: 'STRIPE_API_URL is not an address with https.',
    });
  }
});
