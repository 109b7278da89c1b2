// LiveKit, the video server: tokens for a room, its signed events, and its rooms. The only file that
// knows its SDK.

import {
  AccessToken,
  RoomServiceClient,
  TrackSource,
  type WebhookEvent,
  WebhookReceiver,
} from 'npm:livekit-server-sdk@2.19.2';
import { address } from './address.ts';
import { type Environment, required } from './environment.ts';

export type { WebhookEvent };

/** A token is read when somebody connects, and never again. */
const TOKEN_SECONDS = 600;

/** Who may join which room. */
export interface Seat {
  room: string;
  identity: string;
  role: string;
}

export interface RoomToken {
  token: string;
  expires_at: string;
}

export interface LiveKit {
  url: string;
  /** A token that lets somebody join that one room, show, speak, send data and watch, and no more. */
  token(seat: Seat): Promise<RoomToken>;
  /** An event that LiveKit signed just as it came; throws if it did not, or if it is too old. */
  event(body: string, authorization: string): Promise<WebhookEvent>;
  rooms: RoomServiceClient;
}

export function openLiveKit(env: Environment): LiveKit {
  const url = address(env, 'LIVEKIT_URL', '', 'wss');
  const key = required(env, 'LIVEKIT_API_KEY');
  const secret = required(env, 'LIVEKIT_API_SECRET');
  const receiver = new WebhookReceiver(key, secret);
  return {
    url,
    token: async ({ room, identity, role }) => {
      // Taken before signing, so that it is never later than the time in the token.
      const expires = Math.floor(Date.now() / 1000) + TOKEN_SECONDS;
      const token = new AccessToken(key, secret, {
        identity,
        ttl: TOKEN_SECONDS,
        metadata: JSON.stringify({ role }),
        attributes: { role },
      });
      token.addGrant({
        room,
        roomJoin: true,
        canPublish: true,
        canPublishSources: [
          TrackSource.CAMERA,
          TrackSource.MICROPHONE,
          TrackSource.SCREEN_SHARE,
          TrackSource.SCREEN_SHARE_AUDIO,
        ],
        canPublishData: true,
        canSubscribe: true,
      });
      return {
        token: await token.toJwt(),
        expires_at: new Date(expires * 1000).toISOString(),
      };
    },
    event: (body, authorization) => receiver.receive(body, authorization),
    rooms: new RoomServiceClient(url.replace(/^ws/, 'http'), key, secret),
  };
}
