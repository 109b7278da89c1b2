// One URL for every part, as hosted has it: a prefix chooses the part, OPTIONS is answered here,
// anything else is a 404 in JSON.

import { createServer } from 'node:http';

const HOST = '127.0.0.1';
const METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

class BodyTooLarge extends Error {}

async function readBody(incoming, limit) {
  if (Number(incoming.headers['content-length'] ?? 0) > limit) throw new BodyTooLarge();
  const chunks = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += chunk.length;
    if (size > limit) throw new BodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function answerJson(outgoing, status, body) {
  const text = JSON.stringify(body);
  outgoing.writeHead(status, {
    'access-control-allow-origin': '*',
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  });
  outgoing.end(text);
}

function answerOptions(incoming, outgoing) {
  outgoing.writeHead(204, {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers': incoming.headers['access-control-request-headers'] ?? '*',
    'access-control-max-age': '86400',
  });
  outgoing.end();
}

function requestHeaders(incoming) {
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    headers.append(incoming.rawHeaders[i], incoming.rawHeaders[i + 1]);
  }
  // The body is read whole already; its length belongs to the connection, not to the parts.
  headers.delete('content-length');
  return headers;
}

async function sendResponse(response, incoming, outgoing) {
  const headers = {};
  response.headers.forEach((value, name) => {
    if (name !== 'set-cookie') headers[name] = value;
  });
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) headers['set-cookie'] = cookies;
  const body = Buffer.from(await response.arrayBuffer());
  if (body.length > 0) headers['content-length'] = body.length;
  outgoing.writeHead(response.status, headers);
  outgoing.end(incoming.method === 'HEAD' ? undefined : body);
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
 * @param {{
 *   port: number,
 *   maxBodyBytes: number,
 *   routes: { prefix: string, fetch: (request: Request, info: object) => Promise<Response> }[],
 * }} options
 */
export async function startGateway({ port, maxBodyBytes, routes }) {
  async function handle(incoming, outgoing) {
    // The URL class resolves `..` in all spellings, so a path cannot leave its prefix later.
    const url = new URL(incoming.url ?? '/', `http://${HOST}`);
    const route = routes.find(
      ({ prefix }) => url.pathname === prefix || url.pathname.startsWith(`${prefix}/`),
    );
    if (!route) {
      answerJson(outgoing, 404, {
        code: 'route_not_found',
        message: `Nothing is served at ${url.pathname}.`,
        hint: `Served: ${routes.map(({ prefix }) => prefix).join(', ')}.`,
      });
      return;
    }
    if (incoming.method === 'OPTIONS') {
      answerOptions(incoming, outgoing);
      return;
    }
    const body = await readBody(incoming, maxBodyBytes);
    const hasBody = incoming.method !== 'GET' && incoming.method !== 'HEAD' && body.length > 0;
    const request = new Request(url, {
      method: incoming.method,
      headers: requestHeaders(incoming),
      body: hasBody ? body : undefined,
    });
    const response = await route.fetch(request, { peerAddress: incoming.socket.remoteAddress });
    await sendResponse(response, incoming, outgoing);
  }

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch((error) => {
      if (outgoing.headersSent) {
        outgoing.destroy();
      } else if (error instanceof BodyTooLarge) {
        outgoing.setHeader('connection', 'close');
        answerJson(outgoing, 413, {
          code: 'body_too_large',
          message: `The request body is larger than ${maxBodyBytes} bytes.`,
        });
      } else {
        process.stderr.write(`${incoming.method} ${incoming.url}: ${error.stack}\n`);
        answerJson(outgoing, 500, { code: 'gateway_error', message: 'The stack failed.' });
      }
    });
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
      }),
  };
}
