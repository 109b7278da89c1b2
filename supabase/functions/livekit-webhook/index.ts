import { openDatabase } from '../_shared/database.ts';
import { once } from '../_shared/environment.ts';
import { openLiveKit } from '../_shared/livekit.ts';
import { handler } from './handler.ts';

const env = (name: string) => Deno.env.get(name);

Deno.serve(handler(once(() => ({ system: openDatabase(env).system, livekit: openLiveKit(env) }))));
