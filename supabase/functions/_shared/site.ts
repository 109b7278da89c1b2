// The front end that people come from and are sent back to.

import type { Rpc } from './database.ts';
import { Refusal } from './http.ts';
import { settingsOf } from './settings.ts';

/** The address in the setting `site_url`. */
export async function siteOf(system: Rpc): Promise<URL> {
  const address = (await settingsOf(system)).get('site_url');
  try {
    const site = new URL(String(address));
    if (/^https?:$/.test(site.protocol)) return site;
  } catch {
    // Said below.
  }
  throw new Refusal(
    503,
    'not_configured',
    'The setting site_url is not an http address.',
    `An admin sets it: set_setting('site_url', '"https://example.com"').`,
  );
}

/** The address of a page of the site; a path leads nowhere else. */
export function pageOf(site: URL, path: string): string {
  return new URL(site.origin + site.pathname.replace(/\/+$/, '') + path).href;
}

/** A path from a request: one slash, and nothing by which a browser would leave the site. */
export function path(value: unknown, name: string): string {
  if (
    typeof value !== 'string' || value.length > 2000 || !/^\/(?!\/)[^\\\p{Cc}]*$/u.test(value)
  ) {
    throw new Refusal(
      422,
      'invalid_argument',
      `${name} must be a path on the site: one slash first, no backslash, at most 2000 characters.`,
    );
  }
  return value;
}
