/** The recorded cases of a reference folder: every row of every set's index.json, whatever form the index has. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IndexRow, RecordedCase } from './reader.ts';

/** Names of the sets that a reference folder holds: its subfolders with an index.json. */
export function setsOf(root: string): string[] {
  return readdirSync(root)
    .filter((name) => existsSync(join(root, name, 'index.json')))
    .sort();
}

/** Every case that the set's index lists, in its order. */
export function casesOf(root: string, set: string): RecordedCase[] {
  const setFolder = join(root, set);
  const { cases, sections, ...index } = JSON.parse(readFileSync(join(setFolder, 'index.json'), 'utf8')) as {
    readonly cases?: readonly IndexRow[];
    readonly sections?: Readonly<Record<string, readonly IndexRow[]>>;
    readonly [key: string]: unknown;
  };
  const groups: readonly (readonly [string | undefined, readonly IndexRow[]])[] =
    cases === undefined ? Object.entries(sections ?? {}) : [[undefined, cases]];
  return groups.flatMap(([section, rows]) =>
    rows.map((row) => {
      const name = String(row['name'] ?? row['id'] ?? row['case'] ?? row['file']);
      const part = section ?? (typeof row['part'] === 'string' ? row['part'] : partOf(name));
      const folder = join(setFolder, typeof row['dir'] === 'string' ? row['dir'] : name);
      return {
        set,
        part,
        name: name.startsWith(`${part}/`) ? name.slice(part.length + 1) : name,
        row,
        root,
        setFolder,
        folder,
        index,
      };
    }),
  );
}

/** `ops` of `ops/conv3x3`; empty where the name has no folder. */
function partOf(name: string): string {
  return name.includes('/') ? (name.split('/')[0] ?? '') : '';
}
