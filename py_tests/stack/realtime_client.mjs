// The official JavaScript client, led by a test: commands come as JSON lines on standard input, what
// happens goes out as JSON lines on standard output. It ends with its input.

import { createInterface } from 'node:readline';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';

let realtime;
const channels = new Map();

function say(happened) {
  process.stdout.write(`${JSON.stringify(happened)}\n`);
}

const commands = {
  async open({ url, key, token, timeout }) {
    realtime = createClient(url, key, { realtime: { transport: WebSocket, timeout } }).realtime;
    if (token) await realtime.setAuth(token);
  },
  async subscribe({ topic, config }) {
    const channel = realtime.channel(topic, { config });
    channels.set(topic, channel);
    channel.on('broadcast', { event: '*' }, ({ event, payload, meta }) =>
      say({ kind: 'broadcast', topic, event, payload, meta }),
    );
    channel.on('system', {}, ({ status, message }) =>
      say({ kind: 'system', topic, status, message }),
    );
    if (config.presence?.enabled) {
      for (const event of ['join', 'leave', 'sync']) {
        channel.on('presence', { event }, ({ key }) =>
          say({ kind: 'presence', topic, event, key, state: channel.presenceState() }),
        );
      }
    }
    channel.subscribe((status, error) =>
      say({ kind: 'status', topic, status, error: error?.message }),
    );
  },
  set_auth: ({ token }) => realtime.setAuth(token),
  track: ({ topic, payload }) => channels.get(topic).track(payload),
  untrack: ({ topic }) => channels.get(topic).untrack(),
  send: ({ topic, event, payload }) =>
    channels.get(topic).send({ type: 'broadcast', event, payload }),
  http_send: ({ topic, event, payload }) =>
    channels
      .get(topic)
      .httpSend(event, payload)
      .catch((error) => error.message),
  leave: ({ topic }) => realtime.removeChannel(channels.get(topic)),
};

const lines = createInterface({ input: process.stdin, terminal: false });
lines.on('line', async (line) => {
  const { command, ...options } = JSON.parse(line);
  const result = await commands[command](options);
  say({ kind: 'done', command, result });
});
lines.on('close', () => process.exit(0));
