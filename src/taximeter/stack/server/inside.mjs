// A part that answers in this process: a `fetch` of web requests behind Node's HTTP server.

import { bodyTooLarge } from './refused.mjs';

async function readBody(incoming, limit) {
  const chunks = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += chunk.length;
    // Too much is read to its end all the same: a client that is still sending hears no answer.
    if (size <= limit) chunks.push(chunk);
  }
  if (size > limit) throw bodyTooLarge(limit);
  return Buffer.concat(chunks);
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

/**
 * @param {string} prefix
 * @param {(request: Request, info: object) => Promise<Response>} fetch
 * @param {number} maxBodyBytes
 * @returns {import('./gateway.mjs').Part}
 */
export function inside(prefix, fetch, maxBodyBytes) {
  return {
    prefix,
    async handle(incoming, outgoing, url) {
      const body = await readBody(incoming, maxBodyBytes);
      const hasBody = incoming.method !== 'GET' && incoming.method !== 'HEAD' && body.length > 0;
      const request = new Request(url, {
        method: incoming.method,
        headers: requestHeaders(incoming),
        body: hasBody ? body : undefined,
      });
      const response = await fetch(request, { peerAddress: incoming.socket.remoteAddress });
      await sendResponse(response, incoming, outgoing);
    },
  };
}
