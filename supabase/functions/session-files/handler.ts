// Files of a session, the whole job in one call: the bytes to the storage server and the row to the
// database, both as the caller. Who may is decided there; what one of the two refuses, neither keeps.

import type { Rpc } from '../_shared/database.ts';
import {
  answer,
  bearer,
  endpoint,
  type Handler,
  type Log,
  log,
  nameOf,
  readBytes,
  Refusal,
  uuid,
} from '../_shared/http.ts';
import { settingsOf } from '../_shared/settings.ts';
import { displayName, extension, mediaType } from './names.ts';

/** The bucket session-files, as somebody. What it refuses or fails at is thrown as a `Refusal`. */
export interface Bucket {
  upload(path: string, file: Blob, type: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** An address for each path, null where there is none. */
  sign(paths: string[], seconds: number): Promise<(string | null)[]>;
}

export interface Side {
  rpc: Rpc;
  bucket: Bucket;
}

export interface Dependencies {
  as(token: string): Side;
  system: Side;
}

interface Row {
  id: string;
  session_id: string;
  name: string;
  type: string;
  size: number;
  uploaded_by: string;
  created_at: string;
  storage_path: string;
}

/** What a multipart body holds besides the file. */
const ENVELOPE_BYTES = 64 * 1024;

export function handler(open: () => Dependencies, write: Log = log): Handler {
  const note = (failed: string, path: string) => (error: unknown) =>
    write({ function: 'session-files', level: 'error', failed, path, error: nameOf(error) });

  /** Uploads and registers a file, or neither. */
  async function store(session: string, file: File, caller: Side, system: Side): Promise<Row> {
    const type = mediaType(file.type);
    const path = `${session}/${crypto.randomUUID()}.${extension(file.name)}`;
    let failure: Refusal | undefined;
    await caller.bucket.upload(path, file, type).catch((error) => failure = error);
    try {
      // Asked in any case: where nothing could be stored, the database says best why.
      return await caller.rpc('register_session_file', {
        p_session_id: session,
        p_storage_path: path,
        p_name: displayName(file.name),
        p_type: type,
        p_size: file.size,
      }) as Row;
    } catch (error) {
      const isRefused = failure && failure.status < 500;
      if (!isRefused) await system.bucket.remove(path).catch(note('remove', path));
      const saysNoMore = error instanceof Refusal && error.message === 'file_not_found';
      throw failure && saysNoMore ? failure : error;
    }
  }

  /** Files as a client sees them, each with an address if one can be had. */
  async function shown(rows: Row[], caller: Side, settings: Map<string, unknown>) {
    const paths = rows.map((row) => row.storage_path);
    const seconds = Number(settings.get('signed_url_seconds'));
    let urls: (string | null)[] = [];
    if (rows.length > 0) {
      urls = await caller.bucket.sign(paths, seconds).catch((error) => {
        note('sign', rows[0].session_id)(error);
        return [];
      });
    }
    return rows.map(({ id, name, type, size, uploaded_by, created_at }, i) => (
      { id, name, type, size, uploaded_by, created_at, url: urls[i] ?? null }
    ));
  }

  return endpoint('session-files', {
    POST: async (request) => {
      const { as, system } = open();
      const caller = as(bearer(request));
      await admit(request, caller.rpc);
      const settings = await settingsOf(system.rpc);
      const limit = Number(settings.get('max_file_bytes')) + ENVELOPE_BYTES;
      const { session, file } = await formOf(request, limit);
      const row = await store(session, file, caller, system);
      const [kept] = await shown([row], caller, settings);
      return answer(201, { file: kept });
    },

    GET: async (request) => {
      const { as, system } = open();
      const caller = as(bearer(request));
      const session = uuid(parameter(request, 'session_id'), 'session_id');
      const rows = await caller.rpc('list_session_files', { p_session_id: session }) as Row[];
      return answer(200, { files: await shown(rows, caller, await settingsOf(system.rpc)) });
    },

    DELETE: async (request) => {
      const caller = open().as(bearer(request));
      const id = uuid(parameter(request, 'file_id'), 'file_id');
      const row = await caller.rpc('remove_session_file', { p_file_id: id }) as Row;
      // The outbox removes it too, should this fail.
      await caller.bucket.remove(row.storage_path).catch(note('remove', row.storage_path));
      return answer(200, { file: { id: row.id } });
    },
  }, write);
}

function parameter(request: Request, name: string): string | null {
  return new URL(request.url).searchParams.get(name);
}

/** Refuses who has no business here, before anything is read or done for them. */
async function admit(request: Request, caller: Rpc): Promise<void> {
  const session = parameter(request, 'session_id');
  if (session === null) {
    await caller('my_credit');
  } else {
    await caller('list_session_files', { p_session_id: uuid(session, 'session_id') });
  }
}

async function formOf(request: Request, limit: number): Promise<{ session: string; file: File }> {
  const headers = { 'content-type': request.headers.get('content-type') ?? '' };
  // The body is in no variable: once it is parsed, the form alone holds the file.
  const form = await new Response(await readBytes(request, limit) as BodyInit, { headers })
    .formData()
    .catch(() => {
      throw new Refusal(400, 'invalid_body', 'The body must be multipart/form-data.');
    });
  const file = form.get('file');
  if (!(file instanceof File)) {
    throw new Refusal(400, 'file_missing', 'There is no file in the field file.');
  }
  const session = parameter(request, 'session_id') ?? form.get('session_id');
  return { session: uuid(session, 'session_id'), file };
}
