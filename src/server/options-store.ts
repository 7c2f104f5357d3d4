/** OptionsStore: the settings of each caller from A1111's `options`, stored in a file so that they survive a restart. */

import { dirname } from 'node:path';
import * as z from 'zod';
import { makeFolder } from '../files/make-folder-node.ts';
import { readTextIfThere } from '../files/open-node.ts';
import { takeName, writeText } from '../files/write-file-node.ts';

export type OptionValue = string | number | boolean | null | readonly unknown[];
export type OptionValues = Readonly<Record<string, OptionValue>>;

export interface OptionsStore {
  /** The options that the caller changed. */
  get(owner: string): OptionValues;
  set(owner: string, changes: OptionValues): Promise<void>;
}

const fileSchema = z.record(z.string(), z.record(z.string(), z.json()));

/** Options by caller; undefined for a damaged text. */
function parsed(text: string): Readonly<Record<string, OptionValues>> | undefined {
  try {
    return fileSchema.parse(JSON.parse(text)) as Record<string, OptionValues>;
  } catch {
    return undefined;
  }
}

/**
 * Opens or creates the file; a damaged one is moved aside and begun again, and `onDamaged` gets its new path. Without a path nothing is stored.
 * Throws `file-access`, `too-large` where there is a file that cannot be read.
 */
export async function openOptionsStore(path?: string, onDamaged?: (aside: string) => void): Promise<OptionsStore> {
  const text = path === undefined ? undefined : await readTextIfThere('text', path);
  const known = parsed(text ?? '{}');
  if (path !== undefined && known === undefined) {
    const aside = `${path}.damaged-${Date.now()}`;
    await takeName(path, aside);
    onDamaged?.(aside);
  }
  const byOwner = new Map<string, OptionValues>(Object.entries(known ?? {}));
  let last: Promise<void> = Promise.resolve();
  const save = async (): Promise<void> => {
    if (path === undefined) return;
    await makeFolder(dirname(path));
    await writeText(path, JSON.stringify(Object.fromEntries(byOwner)), {
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
