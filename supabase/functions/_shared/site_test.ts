import assert from 'node:assert/strict';
import { fakeDatabase } from './fakes_test.ts';
import { pageOf, path, siteOf } from './site.ts';

for (
  const bad of [
    undefined,
    null,
    7,
    '',
    'sessions',
    '//evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    'https://evil.example',
    'javascript:alert(1)',
    ' /sessions',
    '/a\tb',
    '/a\nb',
    '/a\u0000b',
    '/a\u0085b',
    '/' + 'a'.repeat(2000),
  ]
) {
  Deno.test(`EDGE-01 no path: ${JSON.stringify(bad)?.slice(0, 40)}`, () => {
    assert.throws(() => path(bad, 'success_path'), { status: 422, message: 'invalid_argument' });
  });
}

for (
  const good of ['/', '/sessions/1?a=b#c', '/@evil.example', '/..//evil.example', '/:80', '/%5c']
) {
  Deno.test(`EDGE-01 a path stays on the site: ${good}`, () => {
    const page = new URL(pageOf(new URL('https://example.com'), path(good, 'success_path')));
    assert.equal(page.origin, 'https://example.com');
  });
}

Deno.test('EDGE-02 a page is below the address of the site', () => {
  assert.equal(
    pageOf(new URL('https://example.com/app/?x=1'), '/paid?id={CHECKOUT_SESSION_ID}'),
    'https://example.com/app/paid?id={CHECKOUT_SESSION_ID}',
  );
});

for (const value of [undefined, '', 'example.com', 'ftp://example.com', 'javascript:alert(1)']) {
  Deno.test(`EDGE-01 a site_url that is no address is told: ${value}`, async () => {
    const { system } = fakeDatabase({ list_settings: [{ key: 'site_url', value }] });
    await assert.rejects(siteOf(system), { status: 503, message: 'not_configured' });
  });
}
