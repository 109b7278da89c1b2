// A database connection of @supabase/lite that behaves like the hosted API: values and role
// settings as hosted, errors as PostgREST tells them where that is asked for, and no statement that
// changes a right.

import { createPostgresConnection } from '@supabase/lite/postgres';
import { sql } from 'kysely';
import { statusOf } from './errors.mjs';
import { assertMembers } from './pinned.mjs';

const API_ROLES = ['anon', 'authenticated', 'service_role'];

/** Already encoded JSON stays as it is: RPC arguments arrive encoded and would be encoded twice. */
function encodeJson(value) {
  if (typeof value === 'string') {
    try {
      JSON.parse(value);
      return value;
    } catch {
      return JSON.stringify(value);
    }
  }
  return JSON.stringify(value);
}

/** `2026-01-01 00:00:00+00` as `2026-01-01T00:00:00+00:00`. */
function isoTime(value) {
  return value.replace(' ', 'T').replace(/([+-]\d{2})$/, '$1:00');
}

const TYPES = {
  // The driver's own would send every string, "true" included, as false.
  bool: { to: 16, from: [16], serialize: String, parse: (value) => value === 't' },
  json: { to: 114, from: [114], serialize: encodeJson, parse: JSON.parse },
  jsonb: { to: 3802, from: [3802], serialize: encodeJson, parse: JSON.parse },
  numeric: { to: 1700, from: [1700], serialize: String, parse: Number },
  timestamp: { to: 1114, from: [1114], serialize: (value) => value, parse: isoTime },
  timestamptz: { to: 1184, from: [1184], serialize: (value) => value, parse: isoTime },
};

// These already leave lite as PostgREST would send them.
const UNTOUCHED = new Set(['42501', '42883', '42P01', '25006', 'PGRST']);

/** Makes lite send status, code, message, details and hint of a database error unchanged. */
function translated(error) {
  const isFromDatabase = error && typeof error === 'object' && 'severity' in error;
  if (!isFromDatabase) return error;
  const code = String(error.code);
  if (UNTOUCHED.has(code) || code.startsWith('PT')) return error;
  const rewritten = new Error(
    JSON.stringify({
      code,
      message: error.message,
      details: error.detail ?? null,
      hint: error.hint ?? null,
    }),
  );
  return Object.assign(rewritten, {
    name: error.name,
    severity: error.severity,
    code: 'PGRST',
    detail: JSON.stringify({ status: statusOf(code, error.message), headers: {} }),
    cause: error,
  });
}

/** For REST. The other parts look at the codes of errors themselves. */
export function tellErrorsAsPostgrest(connection) {
  const withContext = connection.withContext.bind(connection);
  connection.withContext = async (...args) => {
    try {
      return await withContext(...args);
    } catch (error) {
      throw translated(error);
    }
  };
}

/** Hosted's login is a member of the API roles only; this one could take others it is in. */
function refusedRole(role) {
  return Object.assign(new Error(`permission denied to set role "${role}"`), {
    name: 'PostgresError',
    severity: 'ERROR',
    code: '42501',
  });
}

/** The settings of the API roles (statement_timeout, ...) that any user may set for himself. */
async function readRoleSettings(driver) {
  const rows = await driver`
    select r.rolname as role, split_part(c.setting, '=', 1) as name,
      substr(c.setting, strpos(c.setting, '=') + 1) as value
    from pg_catalog.pg_roles as r
    cross join lateral unnest(r.rolconfig) as c (setting)
    inner join pg_catalog.pg_settings as s on s.name = split_part(c.setting, '=', 1)
    where r.rolname in ${driver(API_ROLES)} and s.context = 'user'`;
  const settings = new Map(API_ROLES.map((role) => [role, []]));
  for (const { role, name, value } of rows) settings.get(role)?.push([name, value]);
  return settings;
}

/**
 * @param {{ url: string, max: number }} options
 */
export async function openConnection({ url, max }) {
  const connection = createPostgresConnection({
    url,
    postgresOptions: { max, types: TYPES, onnotice: () => {}, connect_timeout: 10 },
  });
  assertMembers(connection);
  // Any other state makes the first request run GRANT ALL on every schema with row security.
  connection.rlsState = 'active';

  let roleSettings = await readRoleSettings(connection.driver);

  const applyContext = connection.applyJwtSessionContext.bind(connection);
  connection.applyJwtSessionContext = async (transaction, vars, setRole) => {
    const role = vars.auth?.role || 'anon';
    const settings = roleSettings.get(role);
    if (!settings) throw refusedRole(role);
    for (const [name, value] of settings) {
      await sql`select set_config(${name}, ${value}, true)`.execute(transaction);
    }
    return applyContext(transaction, vars, setRole);
  };

  return {
    connection,
    async reload() {
      roleSettings = await readRoleSettings(connection.driver);
      await connection.clearSchemaCache();
    },
    close: () => connection.driver.end({ timeout: 1 }),
  };
}
