import { openDatabase } from '../_shared/database.ts';
import { once } from '../_shared/environment.ts';
import { openStripe } from '../_shared/stripe.ts';
import { handler } from './handler.ts';

const env = (name: string) => Deno.env.get(name);

Deno.serve(
  handler(
    once(() => ({ database: openDatabase(env), stripe: openStripe(env) })),
  ),
);
