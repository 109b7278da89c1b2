// One URL for every part, as hosted has it: a prefix chooses the part, anything else is a 404 in
// JSON.

import { createServer, STATUS_CODES } from 'node:http';
import { Refused } from './refused.mjs';

const HOST = '127.0.0.1';
// Longer than clients keep an idle connection: who ends it first must not be the one who is asked.
const KEEP_ALIVE_MS = 100_000;
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

function answerOptions(incoming, outgoing) {
  outgoing.writeHead(204, {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers': incoming.headers['access-control-request-headers'] ?? '*',
    'access-control-max-age': '86400',
  });
  outgoing.end();
}

/** The refusal that a client is told when something was thrown while its request was handled. */
function refusalFor(error, incoming) {
  if (error instanceof Refused) return error;
  process.stderr.write(`${incoming.method} ${incoming.url}: ${error.stack}\n`);
  return new Refused(500, 'gateway_error', 'The stack failed.', 'Its log says why.');
}

/** Answers by a refusal, or ends the connection when an answer has begun already. */
function refuse(error, incoming, outgoing) {
  const refused = refusalFor(error, incoming);
  if (outgoing.headersSent) {
    outgoing.destroy();
    return;
  }
  // Whoever is still sending reads no answer, so the rest of the body is taken and forgotten.
  incoming.unpipe();
  incoming.resume();
  outgoing.writeHead(refused.status, refused.headers);
  outgoing.end(refused.body);
}

/** The same for a connection that wanted to become a WebSocket and has no response object. */
function refuseUpgrade(error, incoming, socket) {
  const refused = refusalFor(error, incoming);
  if (!socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const headers = Object.entries({ ...refused.headers, connection: 'close' });
  const head = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const status = `${refused.status} ${STATUS_CODES[refused.status]}`;
  socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n${refused.body}`);
}

function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, () => {
      server.off('error', reject);
      resolve(server.address().port);
    });
  });
}

/**
 * A part's `handle` answers a request and its `upgrade`, if it has one, takes over a connection;
 * both may call `fail` at any time. A part that answers OPTIONS itself says so.
 * @typedef {{
 *   prefix: string,
 *   answersOptions?: boolean,
 *   handle: (incoming, outgoing, url: URL, fail: (error: Error) => void) => void | Promise<void>,
 *   upgrade?: (incoming, socket, head: Buffer, url: URL, fail: (error: Error) => void) => void,
 * }} Part
 * @param {{ port: number, parts: Part[] }} options
 */
export async function startGateway({ port, parts }) {
  const upgraded = new Set();

  function choose(incoming) {
    // The URL class resolves `..` in all spellings, so a path cannot leave its prefix later.
    const url = new URL(`http://${HOST}${incoming.url}`);
    const part = parts.find(
      ({ prefix }) => url.pathname === prefix || url.pathname.startsWith(`${prefix}/`),
    );
    if (!part) {
      const served = parts.map(({ prefix }) => prefix).join(', ');
      throw new Refused(
        404,
        'route_not_found',
        `Nothing is served at ${url.pathname}.`,
        `Served: ${served}.`,
      );
    }
    return { url, part };
  }

  async function handle(incoming, outgoing, fail) {
    const { url, part } = choose(incoming);
    if (incoming.method === 'OPTIONS' && !part.answersOptions) answerOptions(incoming, outgoing);
    else await part.handle(incoming, outgoing, url, fail);
  }

  function upgrade(incoming, socket, head, fail) {
    const { url, part } = choose(incoming);
    if (!part.upgrade) {
      throw new Refused(400, 'upgrade_refused', `There is no WebSocket at ${url.pathname}.`);
    }
    part.upgrade(incoming, socket, head, url, fail);
  }

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (incoming, outgoing) => {
    const fail = (error) => refuse(error, incoming, outgoing);
    handle(incoming, outgoing, fail).catch(fail);
  });
  server.on('upgrade', (incoming, socket, head) => {
    upgraded.add(socket);
    socket.on('close', () => upgraded.delete(socket));
    // Node has let go of this connection: without a listener an error here would end the process.
    socket.on('error', () => socket.destroy());
    const fail = (error) => refuseUpgrade(error, incoming, socket);
    try {
      upgrade(incoming, socket, head, fail);
    } catch (error) {
      fail(error);
    }
  });

  let actual;
  try {
    actual = await listen(server, port);
  } catch (error) {
    if (error.code !== 'EADDRINUSE') throw error;
    actual = await listen(server, 0);
  }
  return {
    port: actual,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
        for (const socket of upgraded) socket.destroy();
      }),
  };
}
