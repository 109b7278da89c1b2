import { once, required } from '../_shared/environment.ts';
import { handler } from './handler.ts';

const env = (name: string) => Deno.env.get(name);

Deno.serve(handler(once(() => ({
  createCheckout: `${required(env, 'SUPABASE_URL')}/functions/v1/create-checkout`,
  send: fetch,
}))));
