// Where a function's settings come from. A function that lacks one still starts, and says which.

import { Refusal } from './http.ts';

export type Environment = (name: string) => string | undefined;

/** A setting that must be there. */
export function required(env: Environment, name: string): string {
  const value = env(name);
  if (!value) {
    throw new Refusal(
      503,
      'not_configured',
      `${name} is not set.`,
      `Set it with: supabase secrets set ${name}=...`,
    );
  }
  return value;
}

/** The key of that kind which the platform gives a function: the default one, or the older name's. */
export function apiKey(env: Environment, kind: 'publishable' | 'secret'): string {
  const [current, older] = kind === 'publishable'
    ? ['SUPABASE_PUBLISHABLE_KEYS', 'SUPABASE_ANON_KEY']
    : ['SUPABASE_SECRET_KEYS', 'SUPABASE_SERVICE_ROLE_KEY'];
  const keys = env(current);
  if (!keys) return required(env, older);
  try {
    const named: unknown = JSON.parse(keys);
    const key = (named as Record<string, unknown>).default;
    if (typeof key === 'string' && key) return key;
  } catch {
    // Said below.
  }
  throw new Refusal(503, 'not_configured', `${current} has no key named default.`);
}

/**
 * What a handler needs, made when the first request asks for it, so that a missing setting is an
 * answer and not a crash.
 */
export function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
