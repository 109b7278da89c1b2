// The loop: as many effects at once as there are places, each answered to the database by itself,
// so that one slow receiver holds up nothing but its own place.

import type { Rpc } from '../_shared/database.ts';
import { type Log, nameOf, Refusal } from '../_shared/http.ts';
import { within } from '../_shared/within.ts';
import {
  type Claim,
  type Deliver,
  DELIVERY_SECONDS,
  LEASE_SECONDS,
  reasonOf,
  type Row,
  Undone,
} from './delivery.ts';

const AT_ONCE = 10;
/** An answer that could not be noted is noted again, after so many milliseconds each time. */
const NOTE_AGAIN_MS = [200, 1000, 3000];

export interface Dispatcher {
  system: Rpc;
  /** By topic. */
  deliveries: Record<string, Deliver>;
  /** How long it may take in all. */
  seconds: number;
  write: Log;
}

/** How many rows were claimed, and what became of them; lost: somebody else answers for it now. */
export interface Tally {
  claimed: number;
  done: number;
  failed: number;
  lost: number;
}

type Outcome = Exclude<keyof Tally, 'claimed'>;

export async function dispatch(dispatcher: Dispatcher): Promise<Tally> {
  const worker = `dispatch-outbox ${crypto.randomUUID()}`;
  const tally: Tally = { claimed: 0, done: 0, failed: 0, lost: 0 };
  const running = new Set<Promise<void>>();
  // What is claimed by then is answered in time.
  const lastClaim = performance.now() + (dispatcher.seconds - DELIVERY_SECONDS) * 1000;
  let isFirst = true;
  try {
    while (true) {
      if (isFirst || performance.now() < lastClaim) {
        const claims = await dispatcher.system('claim_outbox', {
          p_worker: worker,
          p_limit: AT_ONCE - running.size,
          p_lease_seconds: LEASE_SECONDS,
        }) as Claim[];
        isFirst = false;
        tally.claimed += claims.length;
        for (const claim of claims) {
          const work = settle(dispatcher, claim).then((outcome) => {
            tally[outcome] += 1;
            running.delete(work);
          });
          running.add(work);
        }
      }
      if (running.size === 0) return tally;
      await Promise.race(running);
    }
  } finally {
    await Promise.all(running);
  }
}

/** Delivers one effect and notes what became of it. */
async function settle(dispatcher: Dispatcher, claim: Claim): Promise<Outcome> {
  const started = performance.now();
  const { id, topic, session_id, attempts } = claim;
  const line: Row = { function: 'dispatch-outbox', outbox_id: id, topic, session_id, attempts };
  let outcome: Outcome;
  try {
    outcome = await deliver(dispatcher, claim, line);
  } catch (error) {
    // Nobody could be told, so the lease runs out, and whoever is next asks first.
    outcome = 'lost';
    line.error = nameOf(error);
  }
  dispatcher.write({ ...line, outcome, ms: Math.round(performance.now() - started) });
  return outcome;
}

async function deliver(dispatcher: Dispatcher, claim: Claim, line: Row): Promise<Outcome> {
  const note = (name: string, args: Row) => noted(dispatcher.system, claim, name, args);
  const fail = async (reason: Undone): Promise<Outcome> => {
    line.ambiguous = reason.ambiguous;
    const held = await note('fail_outbox', {
      p_error: reason.message,
      p_ambiguous: reason.ambiguous,
    });
    return held ? 'failed' : 'lost';
  };
  let result: Row;
  try {
    result = await within(DELIVERY_SECONDS, attempt(dispatcher, claim));
  } catch (error) {
    return await fail(reasonOf(error, claim));
  }
  try {
    return await note('complete_outbox', { p_result: result }) ? 'done' : 'lost';
  } catch (error) {
    line.error = nameOf(error);
    return await fail(new Undone(`done, but that could not be noted: ${nameOf(error)}`, true));
  }
}

async function attempt({ deliveries }: Dispatcher, claim: Claim): Promise<Row> {
  if (!Object.hasOwn(deliveries, claim.topic)) {
    throw new Refusal(422, 'unknown_topic', `Nobody here delivers ${claim.topic}.`);
  }
  return await deliveries[claim.topic](claim);
}

/** Whether the lease was still ours when the database noted it. */
async function noted(system: Rpc, claim: Claim, name: string, args: Row): Promise<boolean> {
  const lease = { p_id: claim.id, p_lease_token: claim.lease_token };
  const note = async () => await system(name, { ...lease, ...args }) as boolean;
  for (const pause of NOTE_AGAIN_MS) {
    try {
      return await note();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return await note();
}
