import assert from 'node:assert/strict';
import { type Claim, reasonOf, type Row, type Undone } from '../delivery.ts';
import { claimOf, environment, fakeFetch } from '../fakes_test.ts';
import { deliveries } from './all.ts';
import { deleteRoom } from './livekit.ts';
import { removeObject } from './storage.ts';

const MAIL = claimOf('email', {
  to: 'ann@example.com',
  from: 'Support <support@example.com>',
  subject: 'Your summary',
  html: '<p>Done</p>',
}, { key: 'email:1', idempotency_key: 'email:1#2' });
const ALERT = claimOf('support.alert', {
  to: 'support@example.com',
  severity: 'critical',
  subject: 'A payout was sent twice',
  detail: { payout_id: 'p1', note: '<b>' },
}, { key: 'alert:1' });
const CRM = claimOf('crm.track', { event: 'session_completed' }, {
  key: 'crm:1',
  session_id: 's1',
});

type Answers = Parameters<typeof fakeFetch>;

async function deliver(values: Record<string, string>, claim: Claim, ...answers: Answers) {
  const { asked, fetchFn } = fakeFetch(...answers);
  const work = deliveries(environment(values), fetchFn)[claim.topic](claim);
  const outcome = await work.then(
    (result) => ({ result }),
    (error) => ({ error: reasonOf(error, claim) }),
  );
  return {
    asked: asked.map((request) => ({ ...request, body: JSON.parse(request.body) })),
    ...outcome,
  } as { asked: { url: string; headers: Headers; body: Row }[]; result?: Row; error?: Undone };
}

Deno.test('MON-17 every topic has somebody who delivers it', () => {
  assert.deepEqual(Object.keys(deliveries(environment({}))).sort(), [
    'crm.track',
    'email',
    'livekit.delete_room',
    'push',
    'storage.remove',
    'stripe.expire_checkout',
    'stripe.refund',
    'stripe.transfer',
    'stripe.transfer_reversal',
    'support.alert',
    'webhook',
  ]);
});

Deno.test('MON-17 Resend gets a mail with a key of its own', async () => {
  const { asked, result } = await deliver(
    { RESEND_API_KEY: 're_fake', POSTMARK_SERVER_TOKEN: 'not used' },
    MAIL,
    [200, { id: 'mail-1' }],
  );
  assert.equal(asked[0].url, 'https://api.resend.com/emails');
  assert.equal(asked[0].headers.get('authorization'), 'Bearer re_fake');
  assert.equal(asked[0].headers.get('idempotency-key'), 'email:1#2');
  assert.deepEqual(asked[0].body, {
    to: ['ann@example.com'],
    from: 'Support <support@example.com>',
    subject: 'Your summary',
    html: '<p>Done</p>',
  });
  assert.deepEqual(result, { id: 'mail-1' });
});

Deno.test('MON-17 Postmark gets a mail with an id that is the same each time', async () => {
  const send = (claim: Claim) =>
    deliver({ POSTMARK_SERVER_TOKEN: 'fake' }, claim, [200, { MessageID: 'mail-1' }]);
  const { asked: [first], result } = await send(MAIL);
  const { asked: [second] } = await send({ ...MAIL, idempotency_key: 'email:1#3' });
  const { asked: [other] } = await send({ ...MAIL, key: 'email:2' });
  assert.equal(first.url, 'https://api.postmarkapp.com/email');
  assert.equal(first.headers.get('x-postmark-server-token'), 'fake');
  assert.equal(first.body.HtmlBody, '<p>Done</p>');
  assert.deepEqual(first.body, second.body);
  assert.notDeepEqual(first.body.Headers, other.body.Headers);
  assert.match(JSON.stringify(first.body.Headers), /<[0-9a-f]{32}@example\.com>/);
  assert.deepEqual(result, { id: 'mail-1' });
});

Deno.test('MON-17 a mail is not sent without a service, and fails without doubt', async () => {
  const work = deliveries(environment({}))['email'](MAIL);
  await assert.rejects(work, { message: 'not_configured' });
});

Deno.test('MON-17 a mail that lacks something is refused before anybody is asked', async () => {
  for (const name of ['to', 'from', 'subject', 'html']) {
    const claim = { ...MAIL, payload: { ...MAIL.payload, [name]: '' } };
    for (const must_look_first of [false, true]) {
      const broken = { ...claim, must_look_first };
      const { asked, error } = await deliver({ RESEND_API_KEY: 're_fake' }, broken);
      assert.deepEqual([asked.length, error?.ambiguous], [0, must_look_first]);
      assert.equal(error?.message, `invalid_payload: payload.${name} is not a text.`);
    }
  }
});

Deno.test('MON-17 what a mail service refuses is told by its code, without the address', async () => {
  const { error } = await deliver({ RESEND_API_KEY: 're_fake' }, MAIL, [422, {
    name: 'validation_error',
    message: 'Invalid `to`: ann@example.com',
  }]);
  assert.equal(error?.message, 'api.resend.com answered 422 validation_error');
  assert.equal(error?.ambiguous, false);
});

Deno.test('MON-17 support is told by its webhook, else by e-mail', async () => {
  const hook = await deliver(
    { SUPPORT_WEBHOOK_URL: 'https://hooks.example.com/x' },
    ALERT,
    [200, {}],
  );
  assert.equal(hook.asked[0].url, 'https://hooks.example.com/x');
  assert.deepEqual(hook.asked[0].body.payload, ALERT.payload);

  const mail = await deliver({ RESEND_API_KEY: 're_fake' }, ALERT, [200, { id: 'mail-1' }]);
  const { to, from, subject, html } = mail.asked[0].body;
  assert.deepEqual([to, from], [['support@example.com'], 'support@example.com']);
  assert.equal(subject, '[critical] A payout was sent twice');
  assert.match(String(html), /"payout_id": "p1"/);
  assert.match(String(html), /&lt;b&gt;/);
});

Deno.test('MON-17 CRM, push and webhooks get the effect and always the same key', async () => {
  for (
    const [topic, variable] of [
      ['crm.track', 'CRM_WEBHOOK_URL'],
      ['push', 'PUSH_WEBHOOK_URL'],
      ['webhook', 'WEBHOOK_URL'],
    ]
  ) {
    const claim = { ...CRM, topic, idempotency_key: 'crm:1#4' };
    const { asked, result } = await deliver(
      { [variable]: 'https://crm.example.com/in' },
      claim,
      [202, 'taken'],
    );
    assert.equal(asked[0].headers.get('idempotency-key'), 'crm:1');
    assert.deepEqual(asked[0].body, {
      topic,
      key: 'crm:1',
      session_id: 's1',
      payload: { event: 'session_completed' },
    });
    assert.deepEqual(result, { status: 202 });
    const none = await deliver({}, claim);
    assert.deepEqual(none.result, { skipped: `${variable} is not set` });
    assert.equal(none.asked.length, 0);
  }
});

Deno.test('MON-17 an answer other than a 2xx is no delivery, and a redirect is not followed', async () => {
  const kinds: [Answers[number], boolean][] = [
    [[301, {}], false],
    [[307, {}], false],
    [[400, {}], false],
    [[404, {}], false],
    [[408, {}], true],
    [[409, {}], true],
    [[429, {}], true],
    [[500, {}], true],
    [[503, {}], true],
    [new TypeError('connection reset'), true],
    [new DOMException('late', 'TimeoutError'), true],
  ];
  for (const [answer, ambiguous] of kinds) {
    const { asked, error } = await deliver(
      { CRM_WEBHOOK_URL: 'https://crm.example.com' },
      CRM,
      answer,
    );
    assert.equal(asked.length, 1);
    assert.equal(error?.ambiguous, ambiguous, String(error?.message));
  }
});

Deno.test('MON-17 effects leave only over TLS, but for this machine', async () => {
  for (const url of ['http://crm.example.com', 'ftp://crm.example.com', 'crm', 'file:///etc/x']) {
    const { asked, error } = await deliver({ CRM_WEBHOOK_URL: url }, CRM);
    assert.equal(asked.length, 0, url);
    assert.match(String(error?.message), /^not_configured: CRM_WEBHOOK_URL /);
  }
  const { result } = await deliver({ CRM_WEBHOOK_URL: 'http://127.0.0.1:9/' }, CRM, [200, {}]);
  assert.deepEqual(result, { status: 200 });
  const mail = deliveries(environment({ SMTP_URL: 'http://mail.example.com' }))['email'](MAIL);
  await assert.rejects(mail, { message: 'not_configured' });
});

Deno.test('MON-17 a room is removed; one that is not there is', async () => {
  const claim = claimOf('livekit.delete_room', { room: 'session-1' });
  const removed: string[] = [];
  const rooms = (error?: Row) => () => ({
    deleteRoom: (room: string) => {
      removed.push(room);
      return error ? Promise.reject(Object.assign(new Error('no'), error)) : Promise.resolve();
    },
  });
  assert.deepEqual(await deleteRoom(rooms())(claim), { room: 'session-1' });
  const missing = rooms({ status: 404, code: 'not_found' });
  assert.deepEqual(await deleteRoom(missing)(claim), { room: 'session-1' });
  assert.deepEqual(removed, ['session-1', 'session-1']);
  for (
    const [error, ambiguous] of [
      [{ status: 401, code: 'unauthenticated' }, false],
      [{ status: 404 }, false],
      [{ status: 503 }, true],
      [{ code: 'ECONNREFUSED' }, true],
    ] as const
  ) {
    await assert.rejects(deleteRoom(rooms(error))(claim), { name: 'Undone', ambiguous });
  }
});

Deno.test('MON-17 an object is removed; one that is not there is', async () => {
  const claim = claimOf('storage.remove', { bucket: 'session-files', path: 's1/a.jpg' });
  const calls: unknown[] = [];
  const storage = (answer: unknown) => () =>
    ({
      from: (bucket: string) => ({
        remove: (paths: string[]) => {
          calls.push([bucket, paths]);
          return Promise.resolve(answer);
        },
      }),
    }) as unknown as ReturnType<Parameters<typeof removeObject>[0]>;
  const removed = removeObject(storage({ data: [{ name: 's1/a.jpg' }], error: null }));
  assert.deepEqual(await removed(claim), { removed: 1 });
  assert.deepEqual(await removeObject(storage({ data: [], error: null }))(claim), { removed: 0 });
  assert.deepEqual(calls, Array(2).fill(['session-files', ['s1/a.jpg']]));
  for (const [status, ambiguous] of [[403, false], [500, true], [undefined, true]] as const) {
    const failing = removeObject(storage({ data: null, error: { name: 'Failed', status } }));
    await assert.rejects(failing(claim), { name: 'Undone', ambiguous });
  }
});
