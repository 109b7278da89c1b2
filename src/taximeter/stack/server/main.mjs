// The client API of the local stack in one process: REST and Auth on the stack's database behind
// one URL. It reads its settings (a JSON object) from standard input, says on standard output where
// it listens, and ends when standard input closes, so that it never outlives the tool that started
// it. For development and tests only; it listens on loopback and nowhere else.

import { createInterface } from 'node:readline';
import { openAuth } from './auth.mjs';
import { startGateway } from './gateway.mjs';
import { assertPinned } from './pinned.mjs';
import { openRest } from './rest.mjs';

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

async function readSettings() {
  const lines = createInterface({ input: process.stdin, terminal: false });
  return new Promise((resolve, reject) => {
    let seen = false;
    lines.on('line', (line) => {
      if (seen) return;
      seen = true;
      try {
        resolve(JSON.parse(line));
      } catch (error) {
        reject(new Error(`The settings on standard input are not JSON: ${error.message}`));
      }
    });
    lines.on('close', () => {
      if (!seen) reject(new Error('No settings came on standard input.'));
      else stop();
    });
  });
}

let running;
let stopping = false;

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
  const settings = await readSettings();
  assertPinned();
  const rest = await openRest(settings);
  const auth = await openAuth(settings);
  const gateway = await startGateway({
    port: settings.port,
    maxBodyBytes: settings.max_body_bytes,
    routes: [
      { prefix: '/rest/v1', fetch: rest.fetch },
      { prefix: '/auth/v1', fetch: auth.fetch },
    ],
  });
  running = {
    async close() {
      await gateway.close();
      await Promise.allSettled([rest.close(), auth.close()]);
    },
  };
  say({ event: 'ready', port: gateway.port, asked_port: settings.port });
} catch (error) {
  fail(error);
}
