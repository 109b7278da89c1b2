// The page at Stripe where a mechanic says how to be paid. A mechanic has one connected account,
// which is made when it is first asked for.

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
} from '../_shared/http.ts';
import { pageOf, path, siteOf } from '../_shared/site.ts';
import { isReplayed, refusalOf, Stripe } from '../_shared/stripe.ts';

export interface Dependencies {
  database: Database;
  stripe: Stripe;
}

/** What the database knows of how a mechanic is paid. */
interface Payee {
  mechanic_id: string;
  account: string | null;
  email: string;
}

const NAME = 'connect-account';
const RETRIES = 2;
const KEYS = 3;

export function handler(open: () => Dependencies, write: Log = log): Handler {
  return endpoint(NAME, {
    POST: async (request) => {
      const token = bearer(request);
      const body = await readJson(request);
      const back = path(body.return_path, 'return_path');
      const again = path(body.refresh_path, 'refresh_path');
      const { database, stripe } = open();
      const payee = await database.as(token)('payout_account') as Payee;
      const site = await siteOf(database.system);
      try {
        const account = payee.account ?? await makeAccount(stripe, payee);
        if (!payee.account) {
          await database.system('set_stripe_account', {
            p_mechanic_id: payee.mechanic_id,
            p_account: account,
          });
        }
        const link = await stripe.accountLinks.create({
          account,
          type: 'account_onboarding',
          return_url: pageOf(site, back),
          refresh_url: pageOf(site, again),
        });
        write({ function: NAME, mechanic_id: payee.mechanic_id, account });
        return answer(200, { url: link.url, account });
      } catch (error) {
        throw refusalOf(error, NAME, write, otherAddress);
      }
    },
  }, write);
}

/**
 * One account, however often it is asked for within the day that Stripe keeps the key; after a refusal
 * that Stripe has kept, under a new key. Stripe finds no account by its metadata: if the database does
 * not note this one in that day, the next day makes a second, and the first stays without use.
 */
async function makeAccount(stripe: Stripe, { mechanic_id, email }: Payee): Promise<string> {
  for (let n = 1;; n++) {
    try {
      const account = await stripe.accounts.create({
        type: 'express',
        email,
        capabilities: { transfers: { requested: true } },
        metadata: { mechanic_id },
      }, {
        idempotencyKey: `connect:${mechanic_id}${n > 1 ? `:${n}` : ''}`,
        maxNetworkRetries: RETRIES,
      });
      return account.id;
    } catch (error) {
      const isKept = error instanceof Stripe.errors.StripeError && isReplayed(error);
      if (!isKept || n === KEYS) throw error;
    }
  }
}

function otherAddress(): Refusal {
  return new Refusal(
    409,
    'idempotency_conflict',
    'The account was begun with another e-mail address, less than a day ago.',
    'Ask again tomorrow, or with the address of then.',
  );
}
