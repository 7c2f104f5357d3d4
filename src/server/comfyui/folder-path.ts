/** Paths that callers name inside a folder of theirs. They are taken apart as text: nothing outside the folder is ever named to the disk. */

/** Longest path, and longest name in it, that most file systems take. */
const longest = { path: 1000, name: 240 };

/**
 * Names that Windows takes for something else: devices, streams of another file, and names that it cuts at their end. There they are refused,
 * elsewhere they are names like any other.
 */
export const isOddOnWindows = (name: string): boolean =>
  /[<>:"|?*]|[. ]$/.test(name) ||
  /^(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])(?:\.|$)/i.test(name);

const isOdd = process.platform === 'win32' ? isOddOnWindows : () => false;

/**
 * The path from the folder, with `/` and without `.` and empty parts; empty for the folder itself. Undefined where it would leave the
 * folder, is absolute, or cannot be a file's name.
 */
export function pathInside(...given: readonly string[]): string | undefined {
  const parts: string[] = [];
  for (const text of given) {
    if (text.startsWith('/') || /^[a-z]:/i.test(text)) return undefined;
    for (const part of text.replaceAll('\\', '/').split('/')) {
      if (part === '' || part === '.') continue;
      if (part === '..' && parts.pop() === undefined) return undefined;
      if (part === '..') continue;
      if (/[\u0000-\u001f\u007f]/.test(part) || Buffer.byteLength(part) > longest.name || isOdd(part)) return undefined;
      parts.push(part);
    }
  }
  const path = parts.join('/');
  return path.length > longest.path ? undefined : path;
}

/** A file's name of a path without its folders. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Name of a caller's own folder. The caller without a key has the folder itself. */
export function callerFolder(owner: string): string {
  if (owner === 'local' || owner === '') return '';
  return `callers/${/^[\w-]{1,64}$/.test(owner) ? owner : `x${Buffer.from(owner).toString('hex').slice(0, 128)}`}`;
}
