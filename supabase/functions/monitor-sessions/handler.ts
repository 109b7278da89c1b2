// A run of the monitor, for a scheduler outside of the database. It changes things, so it is a POST.

import type { Rpc } from '../_shared/database.ts';
import { answer, endpoint, type Handler, type Log, log, requireSecret } from '../_shared/http.ts';

export interface Dependencies {
  system: Rpc;
  secret: string;
}

export function handler(open: () => Dependencies, write: Log = log): Handler {
  return endpoint('monitor-sessions', {
    POST: async (request) => {
      const { system, secret } = open();
      await requireSecret(request, secret);
      const result = await system('monitor_sessions') as Record<
        string,
        unknown
      >;
      write({ function: 'monitor-sessions', ...result });
      return answer(200, result);
    },
  }, write);
}
