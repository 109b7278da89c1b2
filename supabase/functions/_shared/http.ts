// What every function does with a request before and after its own work: the method, the body and
// its size, the caller's token or secret, CORS, and errors in the one shape that the database's have:
// `message` is a stable code, `details` a sentence, `hint` what to do, `code` is `PT` and the status.

export type Handler = (request: Request) => Promise<Response>;

/** A logger of one structured line; ids only, never a secret, a body or personal data. */
export type Log = (entry: Record<string, unknown>) => void;

export const log: Log = (entry) => console.log(JSON.stringify(entry));

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'authorization, x-client-info, apikey, content-type',
  'access-control-max-age': '86400',
};

const encoder = new TextEncoder();

/** A request that is not done; the answer says why. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly details: string | null = null,
    readonly hint: string | null = null,
    readonly code: string = `PT${status}`,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
    this.name = 'Refusal';
  }
}

/** An answer in JSON that a page of any origin may read. */
export function answer(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): Response {
  return new Response(body === undefined ? null : JSON.stringify(body), {
    status,
    headers: { ...CORS, 'content-type': 'application/json; charset=utf-8', ...headers },
  });
}

function refused(refusal: Refusal): Response {
  const { code, message, details, hint, headers } = refusal;
  return answer(refusal.status, { code, message, details, hint }, headers);
}

/**
 * The handler of a function: one handler for each method it has. OPTIONS is answered, another method
 * refused (405), a `Refusal` becomes its answer, and anything else thrown a 500 that tells nothing.
 */
export function endpoint(
  name: string,
  methods: Record<string, Handler>,
  write: Log = log,
): Handler {
  const allowed = [...Object.keys(methods), 'OPTIONS'].join(', ');
  return async (request) => {
    if (request.method === 'OPTIONS') {
      return new Response(null, {
        status: 204,
        headers: { ...CORS, 'access-control-allow-methods': allowed },
      });
    }
    try {
      const handler = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
      if (!handler) {
        throw new Refusal(405, 'method_not_allowed', `Use ${allowed}.`, null, undefined, {
          allow: allowed,
        });
      }
      return await handler(request);
    } catch (error) {
      if (error instanceof Refusal) return refused(error);
      write({ function: name, level: 'error', error: nameOf(error) });
      return refused(new Refusal(500, 'internal_error', 'The function failed.'));
    }
  };
}

/** What may be logged of something thrown: its kind and code, not its text, which may hold anything. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? `${error.name} ${code}` : error.name;
}

/** The body as it came, at most `limit` bytes of it. */
export async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new Refusal(413, 'body_too_large', `The body is larger than ${limit} bytes.`);
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** The body as a JSON object. */
export async function readJson(
  request: Request,
  limit = 64 * 1024,
): Promise<Record<string, unknown>> {
  const bytes = await readBytes(request, limit);
  const invalid = (details: string) => new Refusal(400, 'invalid_body', details);
  if (bytes.length === 0) throw invalid('The body is empty; send a JSON object.');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalid('The body is not JSON in UTF-8.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('The body must be a JSON object.');
  }
  return value as Record<string, unknown>;
}

/** An id from a request, so that a malformed one is told by its name. */
export function uuid(value: unknown, name: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) {
    throw new Refusal(422, 'invalid_argument', `${name} must be a UUID.`);
  }
  return value.toLowerCase();
}

/** The token that the caller presents; whether it is worth anything is for the database to say. */
export function bearer(request: Request): string {
  const match = /^Bearer +([^\s]+)$/i.exec(request.headers.get('authorization') ?? '');
  if (!match) {
    throw new Refusal(
      401,
      'not_authenticated',
      'There is no token.',
      'Send Authorization: Bearer <token>.',
    );
  }
  return match[1];
}

/** Compares in constant time, whatever the lengths. */
export async function sameSecret(given: string, expected: string): Promise<boolean> {
  const [a, b] = await Promise.all(
    [given, expected].map((text) => crypto.subtle.digest('SHA-256', encoder.encode(text))),
  );
  const left = new Uint8Array(a);
  const right = new Uint8Array(b);
  let difference = 0;
  for (let i = 0; i < left.length; i++) difference |= left[i] ^ right[i];
  return difference === 0;
}

/** Refuses a request whose bearer token is not this secret. */
export async function requireSecret(request: Request, expected: string): Promise<void> {
  if (!(await sameSecret(bearer(request), expected))) {
    throw new Refusal(401, 'not_authenticated', 'This is not the secret.');
  }
}
