// The parts that are processes of their own: each edge function, and Realtime. Where they listen is
// told after the start, and again whenever one comes back on another port.

import { Agent } from 'node:http';
import { createProxyServer } from 'httpxy';
import { bodyTooLarge, Refused } from './refused.mjs';

const FUNCTIONS = '/functions/v1';
const REALTIME = '/realtime/v1';

/**
 * @param {{ functionBodyBytes: number, realtimeBodyBytes: number }} limits
 */
export function outside({ functionBodyBytes, realtimeBodyBytes }) {
  // A connection for each request: a kept one would fail the first request after a part's restart.
  const proxy = createProxyServer({ xfwd: true, agent: new Agent() });
  const failures = new WeakMap();
  // By a listener, because it is called before the connection of a refused WebSocket is ended.
  proxy.on('error', (error, incoming) => {
    process.stderr.write(`${incoming.method} ${incoming.url}: ${error.code ?? error.message}\n`);
    const details = 'This part of the stack does not answer.';
    failures.get(incoming)?.(new Refused(502, 'part_not_answering', details, 'Try again.'));
  });

  /** @type {Map<string, string> | null} */
  let functions = null;
  /** @type {string | null} */
  let realtime = null;

  function notRunning(what) {
    return new Refused(503, 'part_not_running', `The stack runs without ${what}.`, 'Try again.');
  }

  function functionAt(url) {
    if (!functions) throw notRunning('edge functions');
    const name = url.pathname.split('/')[3] ?? '';
    const target = functions.get(name);
    if (!target) {
      const known = [...functions.keys()].join(', ') || 'none';
      throw new Refused(
        404,
        'function_not_found',
        `There is no function ${JSON.stringify(name)}.`,
        `There are: ${known}.`,
      );
    }
    return target;
  }

  function realtimeTarget() {
    if (!realtime) throw notRunning('Realtime');
    return realtime;
  }

  function strip(incoming, url, prefix) {
    incoming.url = (url.pathname.slice(prefix.length) || '/') + url.search;
  }

  /** @returns {import('./gateway.mjs').Part['handle']} */
  function forward(prefix, targetOf, maxBodyBytes) {
    return (incoming, outgoing, url, fail) => {
      const target = targetOf(url);
      if (Number(incoming.headers['content-length'] ?? 0) > maxBodyBytes) {
        throw bodyTooLarge(maxBodyBytes);
      }
      strip(incoming, url, prefix);
      failures.set(incoming, fail);
      return proxy.web(incoming, outgoing, { target });
    };
  }

  return {
    /** @type {import('./gateway.mjs').Part[]} */
    parts: [
      {
        prefix: FUNCTIONS,
        answersOptions: true,
        handle: forward(FUNCTIONS, functionAt, functionBodyBytes),
      },
      {
        prefix: REALTIME,
        handle: forward(REALTIME, realtimeTarget, realtimeBodyBytes),
        upgrade(incoming, socket, head, url, fail) {
          const target = realtimeTarget();
          strip(incoming, url, REALTIME);
          failures.set(incoming, fail);
          proxy.ws(incoming, socket, { target }, head).catch(fail);
        },
      },
    ],
    /** @param {{ functions: Record<string, string>, realtime: string | null }} routes */
    route(routes) {
      functions = new Map(Object.entries(routes.functions));
      realtime = routes.realtime;
    },
  };
}
