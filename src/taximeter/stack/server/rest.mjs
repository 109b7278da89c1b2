// REST on the public schema. Its login owns nothing and may become only the three API roles.

import { App } from '@supabase/lite';
import { openConnection, tellErrorsAsPostgrest } from './connection.mjs';

const MAX_ROWS = 1000;
const RPC = /^\/rest\/v1\/rpc\/([^/]+)$/;

/**
 * Lite hands an RPC's string to the driver as it came and every other value encoded, so that for a
 * jsonb argument "1" and 1 look alike there. Encoding the string once more keeps it a string.
 */
async function withJsonStrings(request, connection) {
  const name = RPC.exec(new URL(request.url).pathname)?.[1];
  if (!name || request.method !== 'POST') return request;
  const text = await request.text();
  const again = (body) =>
    new Request(request.url, { method: 'POST', headers: request.headers, body });
  let values;
  try {
    values = JSON.parse(text);
  } catch {
    return again(text);
  }
  if (values === null || typeof values !== 'object' || Array.isArray(values)) return again(text);
  const { functions = [] } = await connection.introspect({ useCache: true });
  for (const candidate of functions) {
    if (candidate.schema !== 'public' || candidate.name !== name) continue;
    candidate.arg_names.forEach((argument, i) => {
      const isJson = candidate.arg_types[i] === 'json' || candidate.arg_types[i] === 'jsonb';
      if (isJson && typeof values[argument] === 'string') {
        values[argument] = JSON.stringify(values[argument]);
      }
    });
  }
  return again(JSON.stringify(values));
}

export async function openRest(settings) {
  const database = await openConnection({ url: settings.rest_database_url, max: 10 });
  tellErrorsAsPostgrest(database.connection);
  const app = new App({
    connection: database.connection,
    api: { schemas: ['public'], max_rows: MAX_ROWS },
    auth: {
      enabled: true,
      jwt_secret: settings.jwt_secret,
      publishable_key: settings.publishable_key,
      secret_key: settings.secret_key,
    },
  });
  await app.init();
  const reload = () =>
    database.reload().catch((error) => {
      process.stderr.write(`reloading the schema failed: ${error.message}\n`);
    });
  // A connection that was lost may have missed a notification, so reload whenever it listens again.
  await database.connection.driver.listen('pgrst', reload, reload);
  return {
    async fetch(request, info) {
      return app.fetch(await withJsonStrings(request, database.connection), info);
    },
    close: database.close,
  };
}
