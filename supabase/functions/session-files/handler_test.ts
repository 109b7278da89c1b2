import assert from 'node:assert/strict';
import { fakeDatabase, fakeLog, said } from '../_shared/fakes_test.ts';
import { Refusal } from '../_shared/http.ts';
import { type Bucket, handler } from './handler.ts';
import { displayName, extension, mediaType } from './names.ts';

const session = '11111111-1111-4111-8111-111111111111';
const row = {
  id: '33333333-3333-4333-8333-333333333333',
  session_id: session,
  name: 'Brake.JPG',
  type: 'image/jpeg',
  size: 3,
  uploaded_by: '22222222-2222-4222-8222-222222222222',
  created_at: '2026-01-01T00:00:00+00:00',
  storage_path: `${session}/44444444-4444-4444-8444-444444444444.jpg`,
};
const { session_id: _session, storage_path: _path, ...shown } = row;
const PATH = new RegExp(`^${session}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.jpg$`);

interface Told {
  upload?: Error;
  remove?: Error;
  sign?: Error | (string | null)[];
  register?: unknown;
  list?: unknown;
  credit?: unknown;
  forget?: unknown;
}

function build(told: Told = {}) {
  const database = fakeDatabase({
    list_settings: [
      { key: 'max_file_bytes', value: 1000 },
      { key: 'signed_url_seconds', value: 3600 },
    ],
    register_session_file: told.register ?? row,
    list_session_files: told.list ?? [row],
    my_credit: told.credit ?? {},
    remove_session_file: told.forget ?? row,
  });
  const done: unknown[][] = [];
  const bucket = (as: string): Bucket => ({
    upload: (path, file, type) => {
      done.push([as, 'upload', path, file.size, type]);
      return told.upload ? Promise.reject(told.upload) : Promise.resolve();
    },
    remove: (path) => {
      done.push([as, 'remove', path]);
      return told.remove ? Promise.reject(told.remove) : Promise.resolve();
    },
    sign: (paths, seconds) => {
      done.push([as, 'sign', paths, seconds]);
      const signed = told.sign ?? paths.map((path) => `https://example.com/${path}`);
      return signed instanceof Error ? Promise.reject(signed) : Promise.resolve(signed);
    },
  });
  const write = fakeLog();
  const handle = handler(() => ({
    as: (token) => ({ rpc: database.as(token), bucket: bucket(token) }),
    system: { rpc: database.system, bucket: bucket('system') },
  }), write);
  return { handle, done, calls: database.calls, lines: write.lines };
}

const headers = { authorization: 'Bearer token' };

function upload(
  file: File | string | null = new File(['abc'], 'Brake.JPG', { type: 'image/jpeg' }),
  id: string | null = session,
): Request {
  const body = new FormData();
  if (id !== null) body.set('session_id', id);
  if (file !== null) body.set('file', file);
  return new Request('http://127.0.0.1/session-files', { method: 'POST', headers, body });
}

function ask(method: string, query: string): Request {
  return new Request(`http://127.0.0.1/session-files?${query}`, { method, headers });
}

Deno.test('FILE-03 a file is stored, registered and answered with an address', async () => {
  const { handle, done, calls } = build();
  const response = await handle(upload());
  assert.equal(response.status, 201);
  assert.deepEqual(await response.json(), {
    file: { ...shown, url: `https://example.com/${row.storage_path}` },
  });
  const path = String(done[0][2]);
  assert.match(path, PATH);
  assert.deepEqual(done, [
    ['token', 'upload', path, 3, 'image/jpeg'],
    ['token', 'sign', [row.storage_path], 3600],
  ]);
  assert.deepEqual(calls[2], {
    as: 'token',
    name: 'register_session_file',
    args: {
      p_session_id: session,
      p_storage_path: path,
      p_name: 'Brake.JPG',
      p_type: 'image/jpeg',
      p_size: 3,
    },
  });
});

Deno.test('FILE-03 the session may be in the address', async () => {
  const { handle } = build();
  const body = new FormData();
  body.set('file', new File(['abc'], 'Brake.JPG'));
  const url = `http://127.0.0.1/session-files?session_id=${session}`;
  assert.equal((await handle(new Request(url, { method: 'POST', headers, body }))).status, 201);
});

for (
  const [query, told] of [
    ['', { credit: new Refusal(401, 'not_authenticated', 'Why.') }],
    [`?session_id=${session}`, { list: new Refusal(401, 'not_authenticated', 'Why.') }],
    [`?session_id=${session}`, { list: new Refusal(404, 'session_not_found', 'Why.') }],
    ['?session_id=x', {}],
  ] as const
) {
  Deno.test(`EDGE-01 who has no business at ${query || 'no session'} costs nothing`, async () => {
    const { handle, done, calls } = build(told);
    const { body, headers } = upload();
    const url = `http://127.0.0.1/session-files${query}`;
    const request = new Request(url, { method: 'POST', headers, body });
    const { status } = await handle(request);
    assert.ok([401, 404, 422].includes(status));
    assert.equal(request.bodyUsed, false);
    assert.ok(calls.every(({ as }) => as === 'token'));
    assert.deepEqual(done, []);
    await request.body?.cancel();
  });
}

for (
  const refusal of [
    new Refusal(410, 'session_ended', 'Why.'),
    new Refusal(415, 'unsupported_file_type', 'Why.'),
    new Refusal(500, 'canceling statement', 'Why.', null, '57014'),
  ]
) {
  Deno.test(`FILE-03 stored, but not registered (${refusal.message}): removed again`, async () => {
    const { handle, done } = build({ register: refusal });
    assert.deepEqual(await said(await handle(upload())), [
      refusal.status,
      refusal.message,
      refusal.details,
    ]);
    assert.deepEqual(done[1], ['system', 'remove', done[0][2]]);
  });
}

Deno.test('FILE-03 what the storage refuses is told in the words of the database', async () => {
  const { handle, done } = build({
    upload: new Refusal(403, 'storage_refused', 'new row violates row-level security policy'),
    register: new Refusal(404, 'session_not_found', 'Why.'),
  });
  assert.deepEqual(await said(await handle(upload())), [404, 'session_not_found', 'Why.']);
  assert.equal(done.length, 1);
});

Deno.test('FILE-03 a storage that fails is a 500, and nothing is left behind', async () => {
  const { handle, done } = build({
    upload: new Refusal(500, 'storage_failed', 'It failed.'),
    register: new Refusal(404, 'file_not_found', 'Nothing is stored there.'),
  });
  assert.deepEqual(await said(await handle(upload())), [500, 'storage_failed', 'It failed.']);
  assert.deepEqual(done[1], ['system', 'remove', done[0][2]]);
});

Deno.test('FILE-03 a storage whose answer got lost has kept the file', async () => {
  const { handle } = build({ upload: new Refusal(500, 'storage_failed') });
  assert.equal((await handle(upload())).status, 201);
});

Deno.test('FILE-03 what could not be removed is noted for whoever looks', async () => {
  const { handle, done, lines } = build({
    register: new Refusal(410, 'session_ended'),
    remove: new Refusal(500, 'storage_failed'),
  });
  assert.equal((await handle(upload())).status, 410);
  assert.deepEqual(lines, [{
    function: 'session-files',
    level: 'error',
    failed: 'remove',
    path: done[0][2],
    error: 'Refusal PT500',
  }]);
});

Deno.test('FILE-03 without a signature a file is still there', async () => {
  const { handle } = build({ sign: new Refusal(500, 'storage_failed') });
  const response = await handle(upload());
  assert.deepEqual([response.status, await response.json()], [201, {
    file: { ...shown, url: null },
  }]);
});

Deno.test('FILE-03 the list is as the database orders it, with addresses where there are', async () => {
  const older = { ...row, id: '55555555-5555-4555-8555-555555555555' };
  const { handle, calls } = build({ list: [row, older], sign: ['https://example.com/a', null] });
  const response = await handle(ask('GET', `session_id=${session}`));
  assert.deepEqual([response.status, await response.json()], [200, {
    files: [
      { ...shown, url: 'https://example.com/a' },
      { ...shown, id: older.id, url: null },
    ],
  }]);
  assert.deepEqual(calls[0], {
    as: 'token',
    name: 'list_session_files',
    args: { p_session_id: session },
  });
});

Deno.test('FILE-03 nothing is signed where there is nothing', async () => {
  const { handle, done } = build({ list: [] });
  const response = await handle(ask('GET', `session_id=${session}`));
  assert.deepEqual([await response.json(), done], [{ files: [] }, []]);
});

Deno.test('FILE-03 a file that is taken away goes, row first', async () => {
  const { handle, done, calls, lines } = build({ remove: new Refusal(500, 'storage_failed') });
  const response = await handle(ask('DELETE', `file_id=${row.id}`));
  assert.deepEqual([response.status, await response.json()], [200, { file: { id: row.id } }]);
  assert.deepEqual(calls, [
    { as: 'token', name: 'remove_session_file', args: { p_file_id: row.id } },
  ]);
  assert.deepEqual(done, [['token', 'remove', row.storage_path]]);
  assert.equal(lines.length, 1);
});

Deno.test('FILE-03 what the database does not let go of stays', async () => {
  const { handle, done } = build({ forget: new Refusal(404, 'file_not_found', 'Why.') });
  const response = await handle(ask('DELETE', `file_id=${row.id}`));
  assert.deepEqual(await said(response), [404, 'file_not_found', 'Why.']);
  assert.deepEqual(done, []);
});

Deno.test('EDGE-01 bad input is refused before anything is stored', async () => {
  const { handle, done, calls } = build();
  const multipart = { ...headers, 'content-type': 'multipart/form-data; boundary=x' };
  const send = (body: string, sent: Record<string, string>) =>
    new Request('http://127.0.0.1/', { method: 'POST', headers: sent, body });
  const cases: [Request, number, string][] = [
    [upload(null), 400, 'file_missing'],
    [upload('not a file'), 400, 'file_missing'],
    [upload(undefined, null), 422, 'invalid_argument'],
    [upload(undefined, '../x'), 422, 'invalid_argument'],
    [upload(new File(['x'.repeat(70_000)], 'a.txt')), 413, 'body_too_large'],
    [send('{}', { ...headers, 'content-type': 'application/json' }), 400, 'invalid_body'],
    [send('rubbish', multipart), 400, 'invalid_body'],
    [send('rubbish', headers), 400, 'invalid_body'],
    [ask('GET', ''), 422, 'invalid_argument'],
    [ask('GET', 'session_id=x'), 422, 'invalid_argument'],
    [ask('DELETE', ''), 422, 'invalid_argument'],
    [ask('PUT', ''), 405, 'method_not_allowed'],
  ];
  for (const [request, status, message] of cases) {
    assert.deepEqual((await said(await handle(request))).slice(0, 2), [status, message]);
  }
  for (
    const request of [upload(), ask('GET', `session_id=${session}`), ask('DELETE', 'file_id=')]
  ) {
    request.headers.delete('authorization');
    assert.equal((await handle(request)).status, 401);
  }
  assert.deepEqual(done, []);
  assert.ok(calls.every(({ name }) => name === 'my_credit' || name === 'list_settings'));
});

Deno.test('FILE-03 names are shown as they are, but without folders and tricks', () => {
  assert.equal(displayName('Brämse links.jpg'), 'Brämse links.jpg');
  assert.equal(displayName('C:\\photos\\..\\a.jpg'), 'a.jpg');
  assert.equal(displayName('../../etc/passwd'), 'passwd');
  assert.equal(displayName('a\nb\u0000\u0085\u2028.jpg'), 'ab.jpg');
  assert.equal(displayName('invoice\u202egpj.exe'), 'invoicegpj.exe');
  for (const nothing of ['', '  ', 'folder/', '\n']) assert.equal(displayName(nothing), 'file');
  const long = displayName(`${'🔧'.repeat(300)}.jpeg`);
  assert.equal([...long].length, 200);
  assert.match(long, /🔧\.jpeg$/);
});

Deno.test('FILE-03 in the bucket there are only plain characters', () => {
  assert.equal(extension('a.JPG'), 'jpg');
  assert.equal(extension('a.tar.gz'), 'gz');
  for (const odd of ['a', 'a.', 'a.j/pg', 'a.jpé', 'a.b c', `a.${'x'.repeat(11)}`]) {
    assert.equal(extension(odd), 'bin');
  }
  assert.equal(mediaType('Text/Plain; charset=utf-8'), 'text/plain');
  assert.equal(mediaType(''), 'application/octet-stream');
});
