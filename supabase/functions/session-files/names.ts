// What a file is called: to people as they named it, in the bucket in plain characters.

const NAME_CHARACTERS = 200;

/** The name to show: no folders, nothing invisible, bounded; a long one keeps its extension. */
export function displayName(name: string): string {
  const plain = name
    .replace(/^.*[/\\]/s, '')
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, '')
    .trim();
  const characters = [...plain];
  if (characters.length <= NAME_CHARACTERS) return plain || 'file';
  const end = /\.[A-Za-z0-9]{1,10}$/.exec(plain)?.[0] ?? '';
  return characters.slice(0, NAME_CHARACTERS - end.length).join('') + end;
}

/** The extension for the bucket. */
export function extension(name: string): string {
  return /\.([A-Za-z0-9]{1,10})$/.exec(name)?.[1].toLowerCase() ?? 'bin';
}

/** The media type without parameters. */
export function mediaType(type: string): string {
  return type.split(';')[0].trim().toLowerCase() || 'application/octet-stream';
}
