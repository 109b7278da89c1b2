import { openDatabase } from '../_shared/database.ts';
import { once } from '../_shared/environment.ts';
import { deliveries } from './deliver/all.ts';
import { handler } from './handler.ts';
import { settings } from './settings.ts';

const env = (name: string) => Deno.env.get(name);

/** Hosted, what still runs when the caller has gone must be told of. */
const { EdgeRuntime } = globalThis as {
  EdgeRuntime?: { waitUntil(work: Promise<unknown>): void };
};

Deno.serve(handler(once(() => ({
  ...settings(env),
  system: openDatabase(env).system,
  deliveries: deliveries(env),
  keepRunning: (work) => EdgeRuntime?.waitUntil(work),
}))));
