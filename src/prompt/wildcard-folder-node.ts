/** A folder of wildcards: text files with one value a line, `#` before comments, as sd-dynamic-prompts reads them. */

import { demand } from '../arguments.ts';
import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { readTextOf } from '../files/open-node.ts';
import type { Wildcards } from './dynamic-prompt.ts';
import { withoutEnds } from './strip.ts';

/** Most files of a folder, and most values of one pattern. */
const [mostFiles, mostValues] = [10_000, 100_000];

/** A pattern of Python's `fnmatch` with `*` and `?`, in which `*` stands for slashes too. */
function matches(name: string, pattern: string): boolean {
  let [n, p, star, from] = [0, 0, -1, 0];
  while (n < name.length) {
    if (p < pattern.length && (pattern[p] === '?' || (pattern[p] === name[n] && pattern[p] !== '*'))) {
      n++;
      p++;
    } else if (pattern[p] === '*') {
      [star, from] = [p++, n];
    } else if (star >= 0) {
      [p, n] = [star + 1, ++from];
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

const byCodePoints = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Reads the text files of a folder. Throws `file-not-found`, `file-access`, `too-large`. */
export async function openWildcards(folder: string): Promise<Wildcards> {
  demand(typeof folder === 'string', 'The folder of wildcards', 'a path', folder);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw new StableDiffusionError('file-not-found', `The folder of wildcards ${folder} cannot be read.`, { cause });
  });
  const paths = entries
    .filter((entry) => entry.isFile() && entry.name.toLowerCase().endsWith('.txt'))
    .map((entry) => join(entry.parentPath, entry.name));
  if (paths.length > mostFiles)
    throw new StableDiffusionError(
      'too-large',
      `${folder} has ${paths.length} files of wildcards, more than ${mostFiles}.`,
    );
  const files = new Map<string, readonly string[]>();
  for (const path of paths.sort(byCodePoints)) {
    const name = relative(folder, path).slice(0, -'.txt'.length).split(sep).join('/');
    const lines = (await readTextOf('text', path)).split(/\r\n|\n|\r/).map((line) => line.trim());
    files.set(
      name,
      lines.filter((line) => line !== '' && !line.startsWith('#')),
    );
  }
  const found = (pattern: string): string[] =>
    [...files].flatMap(([name, lines]) => (matches(name, pattern) ? lines : []));
  const known = new Map<string, readonly string[]>();
  return (given) => {
    const pattern = withoutEnds(given.replaceAll(/[\\/]+/g, '/'), (character) => character === '/');
    const kept = known.get(pattern);
    if (kept) return kept;
    const direct = found(pattern);
    const all = direct.length > 0 || pattern.startsWith('**') ? direct : found(`**/${pattern}`);
    const values = [...new Set(all)].sort(byCodePoints).slice(0, mostValues);
    known.set(pattern, values);
    return values;
  };
}
