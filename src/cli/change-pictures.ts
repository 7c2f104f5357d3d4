/** Commands that make one picture of each given one: where the results go, and the loop over them. */

import { join, parse } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { openImage, saveImageFile } from '../pipelines/image-files-node.ts';
import type { CliContext } from './command.ts';
import { excluding } from './needed-options.ts';
import { flag, text, UsageError } from './options.ts';
import { createProgress } from './progress.ts';

/** `folder`: where the results go without an option. */
export const resultOptions = (folder: string) => ({
  outdir: excluding(text(['--outdir'], 'DIR', `folder for the results (default: ${folder})`), '--output'),
  output: text(['--output', '-o'], 'FILE', 'path of the result, for one picture'),
  json: flag(['--json'], 'print one JSON object for each picture'),
});

export interface ResultPaths {
  readonly output: string | undefined;
  readonly outdir: string;
  /** Behind the picture's name. Default: nothing. */
  readonly suffix?: string;
}

/** The path of each picture's result. Throws a usage error where two pictures would have one. */
export function resultPaths(pictures: readonly string[], { output, outdir, suffix = '' }: ResultPaths): string[] {
  if (output !== undefined && pictures.length > 1) throw new UsageError('--output takes one picture; use --outdir.');
  const paths = pictures.map((picture) => output ?? join(outdir, `${parse(picture).name}${suffix}.png`));
  for (const [i, path] of paths.entries()) {
    const first = paths.indexOf(path);
    if (first < i)
      throw new UsageError(
        `${pictures[first]} and ${pictures[i]} would both be written to ${path}. Give them one at a time, with --output.`,
      );
  }
  return paths;
}

export interface Changed {
  readonly image: Image;
  /** Further fields of the JSON line. */
  readonly facts: object;
  /** Behind the path in the plain line. */
  readonly remark?: string;
}

/**
 * Changes each picture, writes the result and prints its path. `onStep` of the change shows the progress. A picture of several that cannot be
 * read is passed over with a warning; after the others that is an error.
 */
export async function changePictures(
  { out, err, now, signal }: CliContext,
  pictures: readonly string[],
  { json, ...where }: ResultPaths & { readonly json: boolean },
  change: (image: Image, onStep: (done: number, count: number) => void) => Promise<Changed>,
): Promise<void> {
  const paths = resultPaths(pictures, where);
  const progress = createProgress(err, now, false);
  const unreadable: StableDiffusionError[] = [];
  for (const [i, picture] of pictures.entries()) {
    const path = paths[i] as string;
    const opened = await openImage(picture).catch(unlessAborted);
    if (opened instanceof StableDiffusionError) {
      unreadable.push(opened);
      if (pictures.length > 1) err.write(`warning: ${opened.message} It is passed over.\n`);
      continue;
    }
    const onStep = (done: number, count: number): void => progress.step(picture, done, count);
    const { image, facts, remark } = await change(opened, onStep);
    progress.clear();
    await saveImageFile(path, image, { signal });
    const line = [path, ...(remark === undefined ? [] : [`(${remark})`])].join(' ');
    out.write(json ? `${JSON.stringify({ path, ...facts })}\n` : `${line}\n`);
  }
  const [first] = unreadable;
  if (first && pictures.length === 1) throw first;
  if (first)
    throw new StableDiffusionError(
      first.code,
      `${unreadable.length} of ${pictures.length} pictures could not be read; the others are done.`,
      { cause: first },
    );
}

/** The error of a picture; that of a cancelled command, and of a bug, is thrown. */
function unlessAborted(error: unknown): StableDiffusionError {
  if (!(error instanceof StableDiffusionError) || error.code === 'aborted') throw error;
  return error;
}
