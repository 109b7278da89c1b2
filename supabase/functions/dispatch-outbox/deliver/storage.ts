// Objects that are to be gone from Storage: SQL cannot delete stored bytes.

import type { client } from '../../_shared/database.ts';
import { type Deliver, text, Undone } from '../delivery.ts';

export function removeObject(open: () => ReturnType<typeof client>['storage']): Deliver {
  return async ({ payload }) => {
    const [bucket, path] = [text(payload, 'bucket'), text(payload, 'path')];
    const { data, error } = await open().from(bucket).remove([path]);
    // Nothing was there: it is gone all the same.
    if (!error) return { removed: data.length };
    const { status } = error as { status?: number };
    throw new Undone(`Storage: ${status ?? error.name}`, status === undefined || status >= 500);
  };
}
