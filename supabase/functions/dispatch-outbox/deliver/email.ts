// E-mail, by whichever service is configured: Resend, Postmark, or a mail server.

import { address } from '../../_shared/address.ts';
import { type Environment, once } from '../../_shared/environment.ts';
import { Refusal } from '../../_shared/http.ts';
import { type Claim, type Deliver, type Row, text } from '../delivery.ts';
import { openSmtp } from './smtp.ts';
import { post } from './webhook.ts';

export interface Mail {
  to: string;
  from: string;
  subject: string;
  html: string;
}

/** Sends a mail; the same claim is the same mail, however often it is sent. */
type Mailer = (mail: Mail, claim: Claim) => Promise<Row>;

export function email(env: Environment, fetchFn: typeof fetch): Deliver {
  const mailer = once(() => chosen(env, fetchFn));
  return async (claim) => {
    const { payload } = claim;
    const mail = {
      to: text(payload, 'to'),
      from: text(payload, 'from'),
      subject: text(payload, 'subject'),
      html: text(payload, 'html'),
    };
    return await mailer()(mail, claim);
  };
}

function chosen(env: Environment, fetchFn: typeof fetch): Mailer {
  const [resendKey, postmarkToken] = [env('RESEND_API_KEY'), env('POSTMARK_SERVER_TOKEN')];
  const smtpUrl = env('SMTP_URL');
  if (resendKey) {
    const url = address(env, 'RESEND_API_URL', 'https://api.resend.com');
    return resend(new URL('/emails', url).href, resendKey, fetchFn);
  }
  if (postmarkToken) {
    const url = address(env, 'POSTMARK_API_URL', 'https://api.postmarkapp.com');
    return postmark(new URL('/email', url).href, postmarkToken, fetchFn);
  }
  if (smtpUrl) {
    const send = openSmtp(smtpUrl);
    return async (mail, claim) => await send(mail, await messageId(mail, claim));
  }
  throw new Refusal(
    503,
    'not_configured',
    'None of RESEND_API_KEY, POSTMARK_SERVER_TOKEN and SMTP_URL is set.',
  );
}

function resend(url: string, key: string, fetchFn: typeof fetch): Mailer {
  return async ({ to, from, subject, html }, claim) => {
    const headers = {
      authorization: `Bearer ${key}`,
      // Resend keeps it for a day.
      'idempotency-key': claim.idempotency_key,
    };
    const { body } = await post(url, { to: [to], from, subject, html }, headers, fetchFn);
    return { id: body.id };
  };
}

function postmark(url: string, token: string, fetchFn: typeof fetch): Mailer {
  return async (mail, claim) => {
    const message = {
      To: mail.to,
      From: mail.from,
      Subject: mail.subject,
      HtmlBody: mail.html,
      // It knows no idempotency key; who reads the mail can tell two of one by this.
      Headers: [
        { Name: 'Message-ID', Value: await messageId(mail, claim) },
        { Name: 'X-PM-KeepID', Value: 'true' },
      ],
    };
    const headers = { accept: 'application/json', 'x-postmark-server-token': token };
    const { body } = await post(url, message, headers, fetchFn);
    return { id: body.MessageID };
  };
}

/** The same for every attempt, so that two copies of one mail are known as one. */
async function messageId(mail: Mail, claim: Claim): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(claim.key));
  const bytes = Array.from(new Uint8Array(digest, 0, 16));
  const name = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const domain = /@([\w.-]+)>?\s*$/.exec(mail.from)?.[1] ?? 'localhost';
  return `<${name}@${domain}>`;
}
