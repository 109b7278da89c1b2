// The bucket session-files at the storage server. The only file that knows its client.

import type { SupabaseClient } from '../_shared/database.ts';
import { Refusal } from '../_shared/http.ts';
import type { Bucket } from './handler.ts';

const CACHE_SECONDS = '3600';

export function bucketOf(supabase: SupabaseClient): Bucket {
  const bucket = supabase.storage.from('session-files');
  return {
    upload: async (path, file, contentType) => {
      const options = { contentType, cacheControl: CACHE_SECONDS, upsert: false };
      // Bytes and not a Blob: its own type would win over contentType.
      const { error } = await bucket.upload(path, await file.arrayBuffer(), options);
      if (error) throw failed(error);
    },
    remove: async (path) => {
      const { error } = await bucket.remove([path]);
      if (error) throw failed(error);
    },
    sign: async (paths, seconds) => {
      const { data, error } = await bucket.createSignedUrls(paths, seconds);
      if (error) throw failed(error);
      return data.map(({ signedUrl, error }) => error ? null : signedUrl);
    },
  };
}

/** Only a 4xx says that nothing happened. */
function failed(error: { message: string; status?: number }): Refusal {
  const { status } = error;
  if (status && status >= 400 && status < 500) {
    return new Refusal(status, 'storage_refused', error.message);
  }
  return new Refusal(500, 'storage_failed', 'The storage server failed; nothing is kept.');
}
