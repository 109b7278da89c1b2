// The local stack's one URL, in one process: REST, Auth and Storage on the stack's database, and
// the way to the functions and Realtime. It reads its settings (a JSON object in one line) from
// standard input and says on standard output where it listens; each further line
// `{"routes": {...}}` tells where the other parts listen now and is answered by
// `{"event": "routed"}`. It ends when standard input closes, so that it never outlives the tool
// that started it. For development and tests only; it listens on loopback and nowhere else.

import { createInterface } from 'node:readline';
import { openAuth } from './auth.mjs';
import { startGateway } from './gateway.mjs';
import { inside } from './inside.mjs';
import { outside } from './outside.mjs';
import { assertPinned } from './pinned.mjs';
import { openRest } from './rest.mjs';
import { openStorage } from './storage.mjs';

/** @param {Record<string, unknown>} message */
function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** @param {unknown} error */
function fail(error) {
  const message = error instanceof Error ? error.message : String(error);
  say({ event: 'failed', message });
  process.exitCode = 1;
  setTimeout(() => process.exit(1), 50);
}

let running;
let stopping = false;

async function start(settings) {
  assertPinned();
  const rest = await openRest(settings);
  const auth = await openAuth(settings);
  const storage = await openStorage(settings);
  const { max_body_bytes: small, max_upload_bytes: large } = settings;
  const others = outside({ functionBodyBytes: large, realtimeBodyBytes: small });
  const gateway = await startGateway({
    port: settings.port,
    parts: [
      inside('/rest/v1', rest.fetch, small),
      inside('/auth/v1', auth.fetch, small),
      inside('/storage/v1', storage.fetch, large),
      ...others.parts,
    ],
  });
  running = {
    async close() {
      await gateway.close();
      await Promise.allSettled([rest.close(), auth.close(), storage.close()]);
    },
  };
  say({ event: 'ready', port: gateway.port, asked_port: settings.port });
  return others;
}

async function stop() {
  if (stopping) return;
  stopping = true;
  // A client that keeps its connection open must not keep the process alive.
  setTimeout(() => process.exit(0), 2000).unref();
  await running?.close();
  process.exit(0);
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
// Lite prints the trace of every refused request; a refusal is an ordinary answer.
console.error = (...values) => {
  const first = values.find((value) => value instanceof Error);
  const line = first ? `${first.code ?? first.name}: ${first.message}` : values.join(' ');
  process.stderr.write(`${new Date().toISOString()} ${line}\n`);
};

process.on('unhandledRejection', (error) => {
  process.stderr.write(`unhandled: ${error instanceof Error ? error.stack : error}\n`);
});

try {
  const lines = createInterface({ input: process.stdin, terminal: false })[Symbol.asyncIterator]();
  const { value: first } = await lines.next();
  if (first === undefined) throw new Error('No settings came on standard input.');
  const settings = JSON.parse(first);
  const others = await start(settings);
  for await (const line of lines) {
    others.route(JSON.parse(line).routes);
    say({ event: 'routed' });
  }
  await stop();
} catch (error) {
  fail(error);
}
