// Storage, on the login that owns its tables and takes the caller's role for each decision, so that
// the policies on storage.objects hold. The official clients and lite disagree about the wire in a
// few places; those are put right here.

import { App, setExperimental } from '@supabase/lite';
import { createHmac } from 'node:crypto';
import { openConnection } from './connection.mjs';
import { Files } from './files.mjs';

const PREFIX = '/storage/v1';
const UPLOAD = {
  POST: /^\/storage\/v1\/object\/()((?!(?:list|sign|upload)\/)[^/]+\/.+)$/,
  PUT: /^\/storage\/v1\/object\/(upload\/sign\/)?((?!upload\/)[^/]+\/.+)$/,
};
const SIGN = /^\/storage\/v1\/object\/(upload\/)?sign\/[^/]+\/./;
const SIGN_MANY = /^\/storage\/v1\/object\/sign\/[^/]+$/;
const COPY = '/storage/v1/object/copy';
const LIST = /^\/storage\/v1\/object\/list\/[^/]+$/;

function json(body, status = 200) {
  return Response.json(body, { status, headers: { 'access-control-allow-origin': '*' } });
}

function refused(error, message) {
  return json({ statusCode: '400', error, message }, 400);
}

/** The request with another body; the size limit of a bucket is held against its length. */
function withBody(request, body, headers = {}) {
  const merged = new Headers(request.headers);
  for (const [name, value] of Object.entries(headers)) merged.set(name, value);
  merged.set('content-length', String(Buffer.byteLength(body)));
  return new Request(request.url, { method: request.method, headers: merged, body });
}

/** The body of a call, or null: lite answers one that is not JSON with a 500. */
async function readJson(request) {
  const text = await request.text();
  try {
    const body = JSON.parse(text || '{}');
    return typeof body === 'object' ? body : null;
  } catch {
    return null;
  }
}

/** An upload as its bytes alone: lite looks for a form's file under another name than clients. */
async function asUpload(request) {
  const type = request.headers.get('content-type') ?? '';
  if (!type.startsWith('multipart/form-data')) {
    return withBody(request, Buffer.from(await request.arrayBuffer()));
  }
  const form = await request.formData().catch(() => new FormData());
  const file = [...form.values()].find((value) => value instanceof Blob);
  if (!file) return null;
  const seconds = form.get('cacheControl');
  return withBody(request, Buffer.from(await file.arrayBuffer()), {
    'content-type': file.type || 'application/octet-stream',
    ...(typeof seconds === 'string' && { 'cache-control': `max-age=${seconds}` }),
  });
}

/** Whether lite would accept this token; it answers one that it does not with a 500. */
function isSigned(token, secret) {
  const [head, body, signature] = token.split('.');
  const expected = createHmac('sha256', secret).update(`${head}.${body}`).digest('base64url');
  if (signature !== expected) return false;
  return JSON.parse(Buffer.from(body, 'base64url')).exp > Date.now() / 1000;
}

/** What is in a folder, deeper ones as folders: lite lists whole names, all the way down. */
function folderOf(objects, { prefix, search, sortBy, limit, offset }) {
  const entries = new Map();
  const wanted = (prefix + search).toLowerCase();
  for (const object of objects) {
    if (!object.name.toLowerCase().startsWith(wanted)) continue;
    const [name, ...deeper] = object.name.slice(prefix.length).split('/');
    const { id, updated_at, created_at, last_accessed_at, metadata } = object;
    if (deeper.length === 0) {
      entries.set(`file ${name}`, { name, id, updated_at, created_at, last_accessed_at, metadata });
    } else {
      const nothing = { updated_at: null, created_at: null, last_accessed_at: null };
      entries.set(`folder ${name}`, { name, id: null, ...nothing, metadata: null });
    }
  }
  const direction = sortBy.order === 'desc' ? -1 : 1;
  const key = (entry) => String(entry[sortBy.column] ?? '');
  const sorted = [...entries.values()].sort(
    (a, b) => direction * (key(a) < key(b) ? -1 : Number(key(a) > key(b))),
  );
  return sorted.slice(offset, offset + limit);
}

function listing(asked) {
  const prefix = String(asked.prefix ?? '');
  return {
    prefix: prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`,
    search: String(asked.search ?? ''),
    sortBy: { column: 'name', order: 'asc', ...asked.sortBy },
    limit: Number(asked.limit ?? 100),
    offset: Number(asked.offset ?? 0),
  };
}

export async function openStorage(settings) {
  setExperimental('storage', true);
  const database = await openConnection({ url: settings.storage_database_url, max: 5 });
  const app = new App({
    connection: database.connection,
    api: { schemas: ['public'] },
    auth: {
      enabled: true,
      jwt_secret: settings.jwt_secret,
      publishable_key: settings.publishable_key,
      secret_key: settings.secret_key,
    },
    storage: { enabled: true },
  });
  app._storageAdapter = await new Files(settings.storage_directory).open();
  await app.init();

  async function list(asked, request, info) {
    const { prefix } = asked;
    const response = await app.fetch(withBody(request, JSON.stringify({ prefix })), info);
    return response.ok ? json(folderOf(await response.json(), asked)) : response;
  }

  // Signed URLs as clients take them: relative to the prefix, under the names they know.
  async function sign(isUpload, request, info) {
    const response = await app.fetch(request, info);
    if (!response.ok) return response;
    const { signedUrl, ...rest } = await response.json();
    return json({ ...rest, [isUpload ? 'url' : 'signedURL']: signedUrl.slice(PREFIX.length) });
  }

  // Lite takes the call for many paths for one without a path, so they are signed one by one.
  async function signMany({ paths, expiresIn }, request, info) {
    if (!Array.isArray(paths)) return refused('InvalidRequest', 'paths must be a list.');
    const signed = paths.map(async (path) => {
      const one = withBody(request, JSON.stringify({ expiresIn }));
      const response = await sign(
        false,
        new Request(`${request.url}/${encodeURI(path)}`, one),
        info,
      );
      const { signedURL = null, message = null } = await response.json();
      return { path, signedURL, error: message };
    });
    return json(await Promise.all(signed));
  }

  async function copy({ bucketId, destinationBucket }, request, info) {
    const response = await app.fetch(request, info);
    if (!response.ok) return response;
    const { key } = await response.json();
    return json({ Key: `${destinationBucket ?? bucketId}/${key}` });
  }

  // Lite writes an object's bytes before its row: of two uploads to one path at once, the one that
  // is refused would leave its bytes to the other. So each path takes one at a time.
  const turns = new Map();
  function inTurn(path, work) {
    const result = (turns.get(path) ?? Promise.resolve()).then(work);
    const ended = result.then(
      () => {},
      () => {},
    );
    turns.set(path, ended);
    ended.then(() => turns.get(path) === ended && turns.delete(path));
    return result;
  }

  async function upload([, signed, path], request, info) {
    const bytes = await asUpload(request);
    if (!bytes) return refused('InvalidRequest', 'The form has no file.');
    const response = await inTurn(path, () => app.fetch(bytes, info));
    if (!signed || !response.ok) return response;
    const { Key } = await response.json();
    return json({ Key: `${path.split('/')[0]}/${Key}` });
  }


  async function answer(request, info) {
    const { method } = request;
    const { pathname, searchParams } = new URL(request.url);
    // PostgreSQL has no such character, and lite would answer with a 500.
    if (pathname.includes('%00')) return refused('InvalidKey', 'A path has no NUL character.');
    const token = searchParams.get('token');
    const signed = SIGN.exec(pathname);
    if (signed && token && !isSigned(token, settings.jwt_secret)) {
      return refused('InvalidJWT', 'The signature is wrong or has expired.');
    }
    if (method === 'GET' || method === 'HEAD') return app.fetch(request, info);
    const target = UPLOAD[method]?.exec(pathname);
    if (target) return upload(target, request, info);
    const body = await readJson(request);
    if (!body) return refused('InvalidRequest', 'The body is not a JSON object.');
    const again = withBody(request, JSON.stringify(body), { 'content-type': 'application/json' });
    if (method !== 'POST') return app.fetch(again, info);
    if (LIST.test(pathname)) return list(listing(body), again, info);
    if (SIGN_MANY.test(pathname)) return signMany(body, again, info);
    if (pathname === COPY) return copy(body, again, info);
    return signed ? sign(Boolean(signed[1]), again, info) : app.fetch(again, info);
  }

  return { fetch: answer, close: database.close };
}
