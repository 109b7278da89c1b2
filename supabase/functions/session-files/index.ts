import { client, type Rpc, rpcOf, type SupabaseClient, systemOf } from '../_shared/database.ts';
import { once } from '../_shared/environment.ts';
import { bucketOf } from './bucket.ts';
import { handler, type Side } from './handler.ts';

const env = (name: string) => Deno.env.get(name);

function side(supabase: SupabaseClient, calls: (supabase: SupabaseClient) => Rpc): Side {
  return { rpc: calls(supabase), bucket: bucketOf(supabase) };
}

Deno.serve(handler(once(() => ({
  as: (token) => side(client(env, 'publishable', token), rpcOf),
  system: side(client(env, 'secret'), systemOf),
}))));
