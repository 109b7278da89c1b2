import { openDatabase } from '../_shared/database.ts';
import { once, required } from '../_shared/environment.ts';
import { handler } from './handler.ts';

const env = (name: string) => Deno.env.get(name);

Deno.serve(
  handler(
    once(() => ({
      system: openDatabase(env).system,
      secret: required(env, 'CRON_SECRET'),
    })),
  ),
);
