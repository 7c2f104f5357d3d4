/** `sd img2img` (CompVis's scripts/img2img.py). */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defineCommand } from '../command.ts';
import { runGeneration } from '../generation.ts';
import { whatIsAt } from '../../files/open-node.ts';
import type { Image } from '../../image/image.ts';
import { imageTensorFlags, readImageTensors } from '../image-tensors.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { required, text, UsageError } from '../options.ts';
import { colorFlags, outpaintFlags } from '../picture-flags.ts';
import { imageScaleFlag, strengthFlags } from '../request-flags.ts';
import { isHiddenName } from '../../files/hidden-name.ts';

const options = {
  init: text(
    ['--init-img', '-i', '--image'],
    'FILE',
    'initial image, or a folder of them (required, or --from-latents)',
  ),
  ...imageTensorFlags,
  ...strengthFlags,
  ...outpaintFlags,
  ...colorFlags,
  ...generationOptions,
  ...imageScaleFlag,
  ...outputOptions,
  ...modelOptions,
};

async function openInit(path: string): Promise<Image> {
  const { openImage } = await import('../../pipelines/image-files-node.ts');
  return openImage(path);
}

/** The pictures of a folder, by name; undefined for a file. Throws `UsageError` for a folder without any. */
async function picturesIn(path: string): Promise<string[] | undefined> {
  if ((await whatIsAt(path)) !== 'folder') return undefined;
  const names = (await readdir(path))
    .filter((name) => !isHiddenName(name) && /.\.(?:png|jpe?g|webp|gif)$/i.test(name))
    .sort();
  if (names.length === 0) throw new UsageError(`${path} has no pictures (.png, .jpg, .webp, .gif).`);
  return names.map((name) => join(path, name));
}

export const img2img = defineCommand({
  description:
    'Makes pictures of a prompt that start from an image. With an InstructPix2Pix model the prompt says what to change; a depth, upscaling or variation model of SD 2.x looks at the image in its own way.',
  words: '[prompt...]',
  options,
  examples: [
    'sd img2img "a watercolour" --init-img photo.jpg --strength 0.6',
    'sd img2img "an oil painting" --init-img photos/ --strength 0.5',
    'sd img2img "a beach" --init-img photo.jpg --outpaint left=128,right=128 --strength 0.8 --sampler "Euler a"',
    'sd img2img "make it winter" --init-img house.png --ckpt instruct-pix2pix.ckpt',
    'sd img2img "a cat" --init-img small.png --ckpt x4-upscaler-ema.safetensors --noise-level 20',
  ],
  async run(context, words, values) {
    const given = await readImageTensors(values);
    const init = given.latent ? undefined : required(values.init, '--init-img', 'img2img');
    const pictures = init === undefined ? undefined : await picturesIn(init);
    const image = init === undefined || pictures ? undefined : await openInit(init);
    return runGeneration(context, {
      task: 'img2img',
      options,
      values,
      words,
      outdir: 'outputs/img2img-samples',
      inputs: () => ({ image, ...given }),
      rounds: pictures?.map((path) => async () => ({ image: await openInit(path), ...given })),
    });
  },
});
