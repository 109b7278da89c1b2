import assert from 'node:assert/strict';
import { openLiveKit } from './livekit.ts';

const open = (url: string) =>
  openLiveKit((name) => name === 'LIVEKIT_URL' ? url : 'at-least-32-characters-of-a-test-key');

Deno.test('EDGE-02 the address of LiveKit is given to clients as it was written', () => {
  for (const url of ['wss://video.example.com', 'ws://127.0.0.1:7880', 'ws://localhost:7880']) {
    assert.equal(open(url).url, url);
  }
});

Deno.test('EDGE-01 the keys of LiveKit do not leave this machine without TLS', () => {
  for (
    const url of ['ws://video.example.com', 'https://video.example.com', 'video', 'http://::1']
  ) {
    assert.throws(() => open(url), {
      status: 503,
      message: 'not_configured',
      details: 'LIVEKIT_URL is not an address with wss.',
    });
  }
  assert.throws(() => open(''), { status: 503, details: 'LIVEKIT_URL is not set.' });
});
