/** `sd inpaint --indir`: every picture of a folder with its mask, as latent-diffusion's scripts/inpaint.py: `NAME_mask.png` beside `NAME.png`. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { isHiddenName } from '../files/hidden-name.ts';
import { checkRequestOf } from '../generation/check-request.ts';
import type { TaskOptions } from '../generation/inputs.ts';
import type { CliContext } from './command.ts';
import { loadNamedModel } from './generation.ts';
import type { GenerationValues, ModelValues, OutputValues } from './generation-options.ts';
import { type OptionTable, UsageError } from './options.ts';
import { createProgress } from './progress.ts';
import { requestValues } from './request-flags.ts';

const maskEnding = '_mask.png';

/** Names of the pictures that have a mask, in order. Throws `invalid-argument` for none, and for a mask without its picture. */
async function maskedPictures(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new StableDiffusionError('file-not-found', `The folder ${folder} cannot be read.`, { cause });
  });
  const pictures = names
    .filter((name) => !isHiddenName(name) && name.endsWith(maskEnding))
    .sort()
    .map((name) => `${name.slice(0, -maskEnding.length)}.png`);
  if (pictures.length === 0)
    throw new StableDiffusionError('invalid-argument', `${folder} has no masks: name them PICTURE${maskEnding}.`);
  const alone = pictures.find((name) => !names.includes(name));
  if (alone !== undefined)
    throw new StableDiffusionError('file-not-found', `${folder} has a mask for ${alone}, and no picture of this name.`);
  return pictures;
}

export interface InpaintFolder {
  readonly folder: string;
  readonly options: OptionTable;
  readonly values: ModelValues & GenerationValues & OutputValues;
  readonly words: readonly string[];
}

/** Writes each picture under its name into the output folder; those that are there stay, unless `--force` is given. Resolves to the exit code. */
export async function inpaintFolder(context: CliContext, run: InpaintFolder): Promise<number> {
  const { folder, options, values, words } = run;
  const { outdir = 'outputs/inpaint-samples', force, quiet, json } = values;
  if (values.output !== undefined) throw new UsageError('--output names one picture; with --indir give --outdir.');
  const fields = requestValues(options, values);
  checkRequestOf('inpaint', fields);
  const pictures = await maskedPictures(folder);
  const { makeFolder } = await import('../files/make-folder-node.ts');
  const { openImage, saveImage } = await import('../pipelines/image-files-node.ts');
  const { generate } = await import('../pipelines/generate.ts');
  await makeFolder(outdir);
  const there = new Set(force ? [] : await readdir(outdir));
  const progress = createProgress(context.err, context.now, quiet || json);
  progress.stage('loading');
  await using model = await loadNamedModel(context, values);
  for (const [i, name] of pictures.entries()) {
    const path = join(outdir, name);
    if (!there.has(name)) {
      const image = await openImage(join(folder, name));
      const mask = await openImage(join(folder, `${name.slice(0, -'.png'.length)}${maskEnding}`));
      const request = { task: 'inpaint', prompt: words.join(' '), ...fields, image, mask, signal: context.signal };
      // The schema checks the options.
      for await (const event of generate(model, request as TaskOptions))
        if (event.kind === 'result' && event.images[0])
          await saveImage(path, event.images[0], { signal: context.signal, replace: force });
    }
    progress.step('pictures', i + 1, pictures.length);
    progress.clear();
    context.out.write(json ? `${JSON.stringify({ path })}\n` : `${path}\n`);
  }
  return 0;
}
