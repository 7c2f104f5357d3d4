/**
 * Names in a folder that systems and programs made, not people: hidden files, macOS's `._name` and `__MACOSX`, thumbnails and recycle bins of
 * NAS devices. Hugging Face's folder loader leaves them out, and so does every reader of a person's folder here.
 */

const systemFolders: ReadonlySet<string> = new Set([
  '__macosx',
  '@eadir',
  '@recycle',
  '@recently-snapshot',
  '#recycle',
  '#snapshot',
  '$recycle.bin',
  'recycler',
  'system volume information',
  'lost+found',
]);

/** `name`: one part of a path. */
export const isHiddenName = (name: string): boolean => name.startsWith('.') || systemFolders.has(name.toLowerCase());
