/** Where pictures are written: CompVis's layout (`samples/00000.png`, `grid-0000.png`, numbering continues), or one named file. */

import { readdir } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileError } from '../files/byte-source-node.ts';
import { makeFolder } from '../files/make-folder-node.ts';

export interface PictureFiles {
  /** The path of the next single picture. */
  next(): string;
  /** The path of the grid; undefined if no grid is written. */
  readonly grid: string | undefined;
}

/** Creates the folders, so that an unwritable path fails before any work. `count` is the number of pictures. */
export async function pictureFiles(options: {
  readonly output?: string | undefined;
  readonly outdir: string;
  readonly count: number;
}): Promise<PictureFiles> {
  const { output, outdir, count } = options;
  if (output !== undefined) {
    await makeFolder(dirname(output));
    let number = 0;
    return { next: () => (count === 1 ? output : numbered(output, ++number)), grid: undefined };
  }
  const samples = join(outdir, 'samples');
  await makeFolder(samples);
  let number = await nextNumber(samples, /^(\d+)\.(?:png|jpe?g|webp)$/i);
  const grid = await nextNumber(outdir, /^grid-(\d+)\.(?:png|jpe?g|webp)$/i);
  return {
    next: () => join(samples, `${String(number++).padStart(5, '0')}.png`),
    grid: join(outdir, `grid-${String(grid).padStart(4, '0')}.png`),
  };
}

/** `apple.png` → `apple-1.png`. */
function numbered(path: string, number: number): string {
  const ending = extname(path);
  return `${path.slice(0, path.length - ending.length)}-${number}${ending}`;
}

/** One more than the highest number in use. */
async function nextNumber(folder: string, pattern: RegExp): Promise<number> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  return names.reduce((next, name) => Math.max(next, Number(pattern.exec(name)?.[1] ?? -1) + 1), 0);
}
