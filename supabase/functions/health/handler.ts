// Whether the functions answer, at once and without the database, for the network check before a
// session; and with ?deep=1 whether the database, its jobs and its outbox are well, for whoever
// watches from outside. What is too late and what is wrong is the database's judgement.

import type { Rpc } from '../_shared/database.ts';
import {
  answer,
  endpoint,
  type Handler,
  type Log,
  log,
  nameOf,
  requireSecret,
} from '../_shared/http.ts';
import { settingsOf } from '../_shared/settings.ts';
import { within } from '../_shared/within.ts';

export interface Dependencies {
  system: Rpc;
  /** The secret of the deep check, which alone needs one. */
  secret(): string;
}

interface Metric {
  category: string;
  metric: string;
  value: number | null;
  status: 'ok' | 'warn' | 'fail';
}

const FRESH_MS = 60_000;
const SETTING_SECONDS = 2;
const DEEP_SECONDS = 10;

export function handler(
  open: () => Dependencies,
  write: Log = log,
  now: () => number = Date.now,
): Handler {
  let slowest: unknown = null;
  let asked = -Infinity;
  let reading = Promise.resolve();

  /** The setting as last read, at most once a minute; null while it was never read. */
  async function maxRtt(system: Rpc): Promise<unknown> {
    if (now() - asked >= FRESH_MS) {
      asked = now();
      reading = settingsOf(system).then(
        (settings) => {
          slowest = settings.get('max_rtt_ms') ?? null;
        },
        (error) => write({ function: 'health', level: 'error', error: nameOf(error) }),
      );
    }
    if (slowest === null) await within(SETTING_SECONDS, reading).catch(() => {});
    return slowest;
  }

  const get: Handler = async (request) => {
    const { system, secret } = open();
    const isDeep = new URL(request.url).searchParams.get('deep') === '1';
    if (isDeep) await requireSecret(request, secret());
    const max_rtt_ms = await maxRtt(system);
    const uncached = { 'cache-control': 'no-store' };
    if (!isDeep) return answer(200, { ok: true, max_rtt_ms }, uncached);
    const found = await examine(system, write);
    return answer(found.ok ? 200 : 503, { ...found, max_rtt_ms }, uncached);
  };
  return endpoint('health', { GET: get, HEAD: get }, write);
}

async function examine(system: Rpc, write: Log) {
  let metrics: Metric[];
  try {
    metrics = await within(DEEP_SECONDS, system('session_health_dashboard')) as Metric[];
  } catch (error) {
    write({ function: 'health', level: 'error', error: nameOf(error) });
    return { ok: false, database: { ok: false } };
  }
  const jobs = summary(metrics, 'jobs');
  const outbox = summary(metrics, 'outbox');
  return { ok: jobs.ok && outbox.ok, database: { ok: true }, jobs, outbox };
}

/** The metrics of a category by name, and which of them are wrong. */
function summary(metrics: Metric[], category: string) {
  const rows = metrics.filter((metric) => metric.category === category);
  const wrong = rows.filter((row) => row.status === 'fail').map((row) => row.metric);
  const values = Object.fromEntries(rows.map((row) => [row.metric, row.value]));
  return { ok: rows.length > 0 && wrong.length === 0, wrong, values };
}
