/**
 * Where pictures go: CompVis's layout (`samples/00000.png`, `grid-0000.png`, continued numbering), or one named file. Names are used
 * as they are written, so two runs in one folder share its numbering, and an existing file stays unless `--force` is given.
 */

import { readdir } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { fileError } from '../files/byte-source-node.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { whatIsAt } from '../files/open-node.ts';
import { checkFree, removeHalfWritten } from '../files/write-file-node.ts';
import { UsageError } from './options.ts';

/** Writes a file. Throws `file-exists` where the name is taken and `replace` is false. */
export type Save = (path: string, replace: boolean) => Promise<unknown>;

export interface PictureFiles {
  /** Writes the next single picture; resolves to its path. */
  picture(save: Save): Promise<string>;
  /** Writes the grid; undefined where none is written. */
  readonly grid: ((save: Save) => Promise<string>) | undefined;
}

/** Makes the folders, so that what cannot be written is known before the work. `count` is how many pictures there will be. */
export async function pictureFiles(options: {
  readonly output?: string | undefined;
  readonly outdir: string;
  readonly count: number;
  /** `--force`. */
  readonly replace?: boolean | undefined;
}): Promise<PictureFiles> {
  const { output, outdir, count, replace = false } = options;
  if (output !== undefined) return namedFiles(output, count, replace);
  const samples = join(outdir, 'samples');
  await makeFolder(samples);
  for (const folder of [samples, outdir]) await removeHalfWritten(folder);
  return {
    picture: await numberedFiles(
      samples,
      /^(\d{1,15})\.(?:png|jpe?g|webp)$/i,
      (number) => `${String(number).padStart(5, '0')}.png`,
    ),
    grid: await numberedFiles(
      outdir,
      /^grid-(\d{1,15})\.(?:png|jpe?g|webp)$/i,
      (number) => `grid-${String(number).padStart(4, '0')}.png`,
    ),
  };
}

async function namedFiles(output: string, count: number, replace: boolean): Promise<PictureFiles> {
  if (/[\\/]$/.test(output) || (await whatIsAt(output)) === 'folder')
    throw new UsageError(`--output names one file, and ${output} is a folder. Give --outdir ${output} instead.`);
  await makeFolder(dirname(output));
  await removeHalfWritten(dirname(output));
  const nameOf = (number: number): string => (count === 1 ? output : numbered(output, number));
  for (let number = 1; number <= count; number++) await checkFree(nameOf(number), replace);
  let number = 0;
  return {
    async picture(save) {
      const path = nameOf(++number);
      await save(path, replace);
      return path;
    },
    grid: undefined,
  };
}

/** Files with numbers, from one more than the highest there is; a number that another process takes meanwhile is skipped. */
async function numberedFiles(
  folder: string,
  pattern: RegExp,
  nameOf: (number: number) => string,
): Promise<(save: Save) => Promise<string>> {
  let number = await nextNumber(folder, pattern);
  return async (save) => {
    for (;;) {
      const path = join(folder, nameOf(number++));
      try {
        await save(path, false);
        return path;
      } catch (error) {
        if (!(error instanceof StableDiffusionError && error.code === 'file-exists')) throw error;
      }
    }
  };
}

/** `apple.png` → `apple-1.png`. */
function numbered(path: string, number: number): string {
  const ending = extname(path);
  return `${path.slice(0, path.length - ending.length)}-${number}${ending}`;
}

/** One more than the highest number there is. Longer numbers than 15 digits name other people's pictures. */
async function nextNumber(folder: string, pattern: RegExp): Promise<number> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  return names.reduce((next, name) => Math.max(next, Number(pattern.exec(name)?.[1] ?? -1) + 1), 0);
}
