// What LiveKit says of who is in a room. Its signature is checked on the body as it came; what the
// fact means is for the database.

import type { Rpc } from '../_shared/database.ts';
import {
  answer,
  endpoint,
  type Handler,
  type Log,
  log,
  readBytes,
  Refusal,
} from '../_shared/http.ts';
import type { LiveKit } from '../_shared/livekit.ts';

export interface Dependencies {
  system: Rpc;
  livekit: Pick<LiveKit, 'event'>;
}

const BODY_BYTES = 256 * 1024;
const EVENTS = ['participant_joined', 'participant_left'];
const ROOM = /^session-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
/** What would be refused again however often it came. */
const HOPELESS = ['session_not_found', 'invalid_argument'];

export function handler(open: () => Dependencies, write: Log = log): Handler {
  return endpoint('livekit-webhook', {
    POST: async (request) => {
      const { system, livekit } = open();
      const event = await eventOf(request, livekit);
      const session = ROOM.exec(event.room?.name ?? '')?.[1];
      const noted = { function: 'livekit-webhook', event_id: event.id, event: event.event };
      if (!EVENTS.includes(event.event) || !session) {
        return answer(200, { received: true, ignored: 'not_presence' });
      }
      try {
        await system('record_presence_event', {
          p_session_id: session,
          p_identity: event.participant?.identity ?? '',
          p_event: event.event,
          p_event_id: event.id,
          p_occurred_at: new Date(Number(event.createdAt) * 1000).toISOString(),
        });
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        write({ ...noted, session_id: session, refused: error.message });
        if (HOPELESS.includes(error.message)) {
          return answer(200, { received: true, ignored: error.message });
        }
        // LiveKit tries again after 5xx, and after nothing else.
        throw new Refusal(503, error.message, error.details, error.hint);
      }
      write({ ...noted, session_id: session });
      return answer(200, { received: true });
    },
  }, write);
}

async function eventOf(request: Request, livekit: Dependencies['livekit']) {
  const authorization = request.headers.get('authorization') ?? '';
  const body = await readBytes(request, BODY_BYTES);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
      .decode(body);
    return await livekit.event(text, authorization);
  } catch {
    throw new Refusal(
      401,
      'not_authenticated',
      'LiveKit did not sign this body with the key of this project, or not lately.',
    );
  }
}
