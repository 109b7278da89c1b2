// The database as functions call it: one function at a time, as the caller or as the system.

import { createClient, type SupabaseClient } from 'npm:@supabase/supabase-js@2.109.0';
import { apiKey, type Environment, required } from './environment.ts';
import { type Log, log, nameOf, Refusal } from './http.ts';

export type { SupabaseClient };

/** Calls a database function by name; what it refuses is thrown as a `Refusal`, as it was said. */
export type Rpc = (name: string, args?: Record<string, unknown>) => Promise<unknown>;

export interface Database {
  /** As the person whose token it is. */
  as(token: string): Rpc;
  /** As the system. */
  system: Rpc;
}

/** A client with the key of the kind, and with the token of the caller if there is one. */
export function client(
  env: Environment,
  kind: 'publishable' | 'secret',
  token?: string,
): SupabaseClient {
  return createClient(required(env, 'SUPABASE_URL'), apiKey(env, kind), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    ...(token ? { global: { headers: { Authorization: `Bearer ${token}` } } } : {}),
  });
}

/** Calls through a client. */
export function rpcOf(supabase: SupabaseClient): Rpc {
  return async (name, args = {}) => {
    const { data, error, status } = await supabase.rpc(name, args);
    if (!error) return data;
    if (status < 400) {
      throw new Refusal(503, 'database_unavailable', 'The database does not answer.', 'Try again.');
    }
    throw new Refusal(status, error.message, error.details, error.hint, error.code);
  };
}

/** Calls as the system. That its key is not accepted is nothing that a caller has done. */
export function systemOf(supabase: SupabaseClient, write: Log = log): Rpc {
  const rpc = rpcOf(supabase);
  return async (name, args) => {
    try {
      return await rpc(name, args);
    } catch (error) {
      if (!(error instanceof Refusal) || ![401, 403].includes(error.status)) throw error;
      write({ level: 'error', database: name, status: error.status, error: nameOf(error) });
      throw new Refusal(
        503,
        'database_unavailable',
        'The database does not accept the key of the functions.',
        'An operator looks at the secret key.',
      );
    }
  };
}

export function openDatabase(env: Environment): Database {
  return {
    as: (token) => rpcOf(client(env, 'publishable', token)),
    system: systemOf(client(env, 'secret')),
  };
}
