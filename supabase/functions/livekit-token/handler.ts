// A token for the video room of a session. Who may join which room, and as whom, is the database's
// decision; every decision leaves one line in the log.

import type { Database } from '../_shared/database.ts';
import {
  answer,
  bearer,
  endpoint,
  type Handler,
  type Log,
  log,
  readJson,
  Refusal,
  uuid,
} from '../_shared/http.ts';
import type { LiveKit } from '../_shared/livekit.ts';

export interface Dependencies {
  as: Database['as'];
  livekit: Pick<LiveKit, 'url' | 'token'>;
}

interface Access {
  room: string;
  identity: string;
  role: string;
  user_id: string;
}

export function handler(open: () => Dependencies, write: Log = log): Handler {
  return endpoint('livekit-token', {
    POST: async (request) => {
      const decision: Record<string, unknown> = { function: 'livekit-token', allowed: false };
      try {
        const caller = bearer(request);
        decision.session_id = uuid((await readJson(request)).session_id, 'session_id');
        const { as, livekit } = open();
        const access = as(caller)('video_access', { p_session_id: decision.session_id });
        const { room, identity, role, user_id } = await access.catch((error) => {
          // Whom the database refuses for another reason than the token is who the token says.
          if (error.status > 401 && error.status < 500) decision.user_id = subjectOf(caller);
          throw error;
        }) as Access;
        const { token, expires_at } = await livekit.token({ room, identity, role });
        Object.assign(decision, { user_id, role, allowed: true });
        return answer(200, { token, url: livekit.url, room, identity, expires_at });
      } catch (error) {
        decision.reason = error instanceof Refusal ? error.message : 'internal_error';
        throw error;
      } finally {
        write(decision);
      }
    },
  }, write);
}

/** The user in a token that the database has verified. */
function subjectOf(token: string): unknown {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(atob(payload)).sub;
  } catch {
    return undefined;
  }
}
