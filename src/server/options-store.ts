/** OptionsStore: the settings of each caller from A1111's `options`, stored in a file so that they survive a restart. */

import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from '../files/make-folder-node.ts';
import { writeFileAtomic } from '../files/write-file-node.ts';

export type OptionValue = string | number | boolean | null | readonly unknown[];
export type OptionValues = Readonly<Record<string, OptionValue>>;

export interface OptionsStore {
  /** The options that the caller changed. */
  get(owner: string): OptionValues;
  set(owner: string, changes: OptionValues): Promise<void>;
}

/** Opens or creates the file; an unreadable one is replaced. Without a path nothing is stored. */
export async function openOptionsStore(path?: string): Promise<OptionsStore> {
  const byOwner = new Map<string, OptionValues>();
  const text = path === undefined ? undefined : await readFile(path, 'utf8').catch(() => undefined);
  try {
    for (const [owner, values] of Object.entries(JSON.parse(text ?? '{}') as Record<string, OptionValues>))
      byOwner.set(owner, values);
  } catch {
    // Start with an empty store.
  }
  let last: Promise<void> = Promise.resolve();
  const save = async (): Promise<void> => {
    if (path === undefined) return;
    await makeFolder(dirname(path));
    await writeFileAtomic(path, [new TextEncoder().encode(JSON.stringify(Object.fromEntries(byOwner)))], {
      mode: 0o600,
    });
  };
  return {
    get: (owner) => byOwner.get(owner) ?? {},
    set(owner, changes) {
      byOwner.set(owner, { ...byOwner.get(owner), ...changes });
      last = last.then(save, save);
      return last;
    },
  };
}
