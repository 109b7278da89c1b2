// A video room that is over: whoever is still in it is put out.

import type { LiveKit } from '../../_shared/livekit.ts';
import { nameOf } from '../../_shared/http.ts';
import { type Deliver, text, Undone } from '../delivery.ts';

export function deleteRoom(open: () => Pick<LiveKit['rooms'], 'deleteRoom'>): Deliver {
  return async ({ payload }) => {
    const room = text(payload, 'room');
    const rooms = open();
    try {
      await rooms.deleteRoom(room);
    } catch (error) {
      // One that is not there is what was asked for.
      const { code, status } = error as { code?: string; status?: number };
      if (code !== 'not_found') {
        throw new Undone(
          ['LiveKit:', status ?? nameOf(error), code].filter(Boolean).join(' '),
          status === undefined || status >= 500,
        );
      }
    }
    return { room };
  };
}
