// supabase-js as a customer's browser has it, led by commands, one line of JSON each, on standard
// input. Answers, and what it hears, go out the same way on standard output. It ends with its input.

import { createInterface } from 'node:readline';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';

let client;

const commands = {
  async open({ url, key }) {
    client = createClient(url, key, {
      auth: { persistSession: false, autoRefreshToken: false },
      // Node 20 has none of its own.
      realtime: { transport: WebSocket },
    });
  },
  sign_up: (credentials) => dataOf(client.auth.signUp(credentials)),
  rpc: ({ name, args }) => dataOf(client.rpc(name, args)),
  read: ({ table }) => dataOf(client.from(table).select()),
  invoke: ({ name, body }) => dataOf(client.functions.invoke(name, { body })),
  add_file({ session_id, name, type, content }) {
    const form = new FormData();
    form.set('session_id', session_id);
    form.set('file', new File([Buffer.from(content, 'base64')], name, { type }));
    return dataOf(client.functions.invoke('session-files', { body: form }));
  },
  listen: ({ topic }) =>
    new Promise((resolve, reject) => {
      client
        .channel(topic, { config: { private: true } })
        .on('broadcast', { event: '*' }, ({ event, payload }) =>
          say({ heard: { topic, event, payload } }),
        )
        .subscribe((status, error) => {
          if (status === 'SUBSCRIBED') resolve();
          else reject(error ?? new Error(`${topic}: ${status}`));
        });
    }),
};

async function dataOf(request) {
  const { data, error } = await request;
  if (error) throw error;
  return data;
}

/** An error in the one shape that errors have here; a function's is in the body of its answer. */
async function shown(error) {
  const { code, message, details, hint } =
    error.context instanceof Response ? await error.context.json() : error;
  return { code, message, details, hint };
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  try {
    say({ result: (await commands[command](options)) ?? null });
  } catch (error) {
    say({ error: await shown(error) });
  }
}
process.exit();
