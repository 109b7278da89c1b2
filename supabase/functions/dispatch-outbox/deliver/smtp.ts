// E-mail over SMTP: for the mail catcher of a local stack, or a mail server with TLS. The only file
// that knows its client.

import nodemailer from 'npm:nodemailer@10.6.0';
import { isThisMachine } from '../../_shared/address.ts';
import { Refusal } from '../../_shared/http.ts';
import { CALL_SECONDS, type Row, Undone } from '../delivery.ts';
import type { Mail } from './email.ts';

export function openSmtp(url: string): (mail: Mail, messageId: string) => Promise<Row> {
  const parsed = URL.parse(url);
  if (!parsed || !['smtp:', 'smtps:'].includes(parsed.protocol)) {
    throw new Refusal(503, 'not_configured', 'SMTP_URL is not an smtp or smtps address.');
  }
  const timeout = CALL_SECONDS * 1000;
  const transport = nodemailer.createTransport({
    url,
    requireTLS: !isThisMachine(parsed),
    connectionTimeout: timeout,
    greetingTimeout: timeout,
    socketTimeout: timeout,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return async (mail, messageId) => {
    try {
      await transport.sendMail({ ...mail, messageId });
      return { id: messageId };
    } catch (error) {
      // Its text may hold the address; a server that answered has not taken the mail.
      const { code, responseCode } = error as { code?: string; responseCode?: number };
      throw new Undone(
        ['SMTP', code, responseCode].filter(Boolean).join(' '),
        responseCode === undefined,
      );
    }
  };
}
