// Carries out what the outbox holds: claims what is due, delivers it, and notes what became of it.
// Which effects there are, when, and how often each is tried, is the database's decision.

import { answer, endpoint, type Handler, type Log, log, requireSecret } from '../_shared/http.ts';
import { dispatch, type Dispatcher } from './dispatch.ts';

export interface Dependencies extends Omit<Dispatcher, 'write'> {
  secret: string;
  /** Lets the work go on when the caller no longer waits, as `pg_net` does not. */
  keepRunning(work: Promise<unknown>): void;
}

export function handler(open: () => Dependencies, write: Log = log): Handler {
  return endpoint('dispatch-outbox', {
    POST: async (request) => {
      const dependencies = open();
      await requireSecret(request, dependencies.secret);
      const work = dispatch({ ...dependencies, write });
      dependencies.keepRunning(work.catch(() => undefined));
      return answer(200, await work);
    },
  }, write);
}
