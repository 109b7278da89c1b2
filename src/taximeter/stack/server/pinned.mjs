// The stack uses members of @supabase/lite that its type declarations call private, so it runs with
// exactly the version it was tested with, and says so at the start instead of misbehaving later.

import { readFileSync } from 'node:fs';

const PINNED = { name: '@supabase/lite', version: '0.10.0' };

export function assertPinned() {
  const manifest = new URL('../package.json', import.meta.resolve(PINNED.name));
  const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
  if (version !== PINNED.version) {
    throw new Error(
      `${PINNED.name} is ${version}, but the stack is tested with ${PINNED.version} only. ` +
        'Run `make setup` to install the locked version.',
    );
  }
}

/** @param {Record<string, any>} connection */
export function assertMembers(connection) {
  const missing = ['withContext', 'applyJwtSessionContext', 'clearSchemaCache'].filter(
    (name) => typeof connection[name] !== 'function',
  );
  if (connection.rlsState !== 'unknown') missing.push('rlsState');
  if (missing.length > 0) {
    throw new Error(
      `${PINNED.name} ${PINNED.version} lacks ${missing.join(', ')}: the stack would widen rights ` +
        'or answer wrongly. Run `make setup` to install the locked version.',
    );
  }
}
