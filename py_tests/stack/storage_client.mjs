// Plays Storage through the official JavaScript client and prints what it answered, as one object.

import { createClient } from '@supabase/supabase-js';
import { text } from 'node:stream/consumers';
import ws from 'ws';

const { url, key, token, folder } = JSON.parse(await text(process.stdin));
const client = createClient(url, key, {
  auth: { persistSession: false, autoRefreshToken: false },
  global: { headers: { authorization: `Bearer ${token}` } },
  realtime: { transport: ws },
});
const bucket = client.storage.from('probe');
const picture = new Blob(['blob'], { type: 'image/png' });
const path = (name) => `${folder}/${name}`;

/** The data of an answer, or what the error says. */
async function told(answer) {
  const { data, error } = await answer;
  if (error) return { status: error.status, code: error.statusCode, message: error.message };
  return data instanceof Blob ? { text: await data.text(), type: data.type } : data;
}

async function signedUpload() {
  const { data } = await bucket.createSignedUploadUrl(path('signed.png'));
  return told(bucket.uploadToSignedUrl(data.path, data.token, picture));
}

async function fetched(signedUrl) {
  const response = await fetch(signedUrl);
  return { status: response.status, text: await response.text() };
}

const steps = {
  blob: () => told(bucket.upload(path('blob.png'), picture)),
  buffer: () =>
    told(bucket.upload(path('deep/er.png'), Buffer.from('buffer'), { contentType: 'image/png' })),
  again: () => told(bucket.upload(path('blob.png'), picture)),
  upsert: () => told(bucket.upload(path('blob.png'), picture, { upsert: true })),
  large: () => told(bucket.upload(path('large.png'), new Blob(['x'.repeat(1001)], picture))),
  type: () => told(bucket.upload(path('page.html'), new Blob(['x'], { type: 'text/html' }))),
  download: () => told(bucket.download(path('blob.png'))),
  missing: () => told(bucket.download(path('missing.png'))),
  list: async () => (await told(bucket.list(folder))).map(({ name, id }) => [name, id !== null]),
  page: async () =>
    (await told(bucket.list(folder, { limit: 1, sortBy: { column: 'name', order: 'desc' } }))).map(
      ({ name }) => name,
    ),
  signed: async () => fetched((await told(bucket.createSignedUrl(path('blob.png'), 60))).signedUrl),
  signedMany: async () =>
    (await told(bucket.createSignedUrls([path('blob.png'), path('missing.png')], 60))).map(
      ({ signedUrl, error }) => [signedUrl?.startsWith(`${url}/storage/v1/object/sign/`), error],
    ),
  signedUpload,
  signedUploaded: () => told(bucket.download(path('signed.png'))),
  info: async () => (await told(bucket.info(path('blob.png')))).name,
  exists: async () => (await bucket.exists(path('blob.png'))).data,
  existsNot: async () => (await bucket.exists(path('missing.png'))).data,
  open: () => told(client.storage.from('open').upload(path('a.txt'), 'open')),
  public: () => fetched(client.storage.from('open').getPublicUrl(path('a.txt')).data.publicUrl),
  closed: () => fetched(bucket.getPublicUrl(path('blob.png')).data.publicUrl),
  move: () => told(bucket.move(path('blob.png'), path('moved.png'))),
  copy: () => told(bucket.copy(path('blob.png'), path('copy.png'))),
  remove: async () =>
    (await told(bucket.remove([path('blob.png'), path('missing.png')]))).map(({ name }) => name),
  removed: () => told(bucket.download(path('blob.png'))),
};

const answers = {};
for (const [name, step] of Object.entries(steps)) answers[name] = await step();
process.stdout.write(JSON.stringify(answers));
process.exit(0);
