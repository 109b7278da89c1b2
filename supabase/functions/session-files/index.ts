import { client, rpcOf } from '../_shared/database.ts';
import { once } from '../_shared/environment.ts';
import { bucketOf } from './bucket.ts';
import { handler, type Side } from './handler.ts';

const env = (name: string) => Deno.env.get(name);

function side(kind: 'publishable' | 'secret', token?: string): Side {
  const supabase = client(env, kind, token);
  return { rpc: rpcOf(supabase), bucket: bucketOf(supabase) };
}

Deno.serve(handler(once(() => ({
  as: (token) => side('publishable', token),
  system: side('secret'),
}))));
