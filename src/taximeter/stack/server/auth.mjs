// Auth, on the login that owns the auth tables, so that triggers on auth.users run as hosted.

import { App } from '@supabase/lite';
import { openConnection } from './connection.mjs';

const ACCESS_TOKEN_SECONDS = 3600;

export async function openAuth(settings) {
  const database = await openConnection({ url: settings.auth_database_url, max: 5 });
  const app = new App({
    connection: database.connection,
    api: { schemas: ['public'] },
    auth: {
      enabled: true,
      jwt_secret: settings.jwt_secret,
      jwt_expiry: ACCESS_TOKEN_SECONDS,
      publishable_key: settings.publishable_key,
      secret_key: settings.secret_key,
      email: { enable_confirmations: false },
    },
  });
  await app.init();
  return { fetch: (request, info) => app.fetch(request, info), close: database.close };
}
