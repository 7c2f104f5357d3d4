/** Shards by pattern: a path, a folder of .tar files, or braces as webdataset has them, `data/{00000..00099}.tar`, `{a,b}.tar`. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { fileError } from '../../files/byte-source-node.ts';
import { isHiddenName } from '../../files/hidden-name.ts';

/** Expands a pattern with braces, in order. Numbers keep the width of the first. Throws `invalid-argument` for more than a million. */
export function expandBraces(pattern: string): string[] {
  const found = /\{([^{}]*)\}/.exec(pattern);
  if (!found) return [pattern];
  const [whole, inner = ''] = found;
  const range = /^(\d+)\.\.(\d+)$/.exec(inner);
  const parts: string[] = [];
  if (range) {
    const [, first = '', last = ''] = range;
    if (Math.abs(Number(last) - Number(first)) >= 1e6)
      throw new StableDiffusionError('invalid-argument', `${pattern} expands to more than a million files.`);
    for (let i = Number(first); i <= Number(last); i++) parts.push(String(i).padStart(first.length, '0'));
  } else parts.push(...inner.split(','));
  return parts.flatMap((part) =>
    expandBraces(pattern.slice(0, found.index) + part + pattern.slice(found.index + whole.length)),
  );
}

/** Paths of the shards. Throws `file-not-found` if one is missing, `invalid-argument` if a folder has none. */
export async function shardNames(pattern: string): Promise<string[]> {
  const paths: string[] = [];
  for (const path of expandBraces(pattern)) {
    const status = await stat(path).catch((cause: unknown) => {
      throw fileError(path, cause);
    });
    if (!status.isDirectory()) {
      paths.push(path);
      continue;
    }
    const names = (await readdir(path))
      .filter((name) => !isHiddenName(name) && /\.(?:tar|tar\.gz|tgz)$/i.test(name))
      .sort();
    if (names.length === 0)
      throw new StableDiffusionError('invalid-argument', `${path} holds no shards (.tar, .tar.gz).`);
    paths.push(...names.map((name) => join(path, name)));
  }
  return paths;
}
