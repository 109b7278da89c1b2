// The settings that an admin makes in the database.

import type { Rpc } from './database.ts';

/** Every setting by its name, read as the system. */
export async function settingsOf(system: Rpc): Promise<Map<string, unknown>> {
  const settings = await system('list_settings') as { key: string; value: unknown }[];
  return new Map(settings.map(({ key, value }) => [key, value]));
}
