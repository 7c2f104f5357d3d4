/** `sd img2img` (CompVis's scripts/img2img.py). */

import { defineCommand } from '../command.ts';
import { runGeneration } from '../generation.ts';
import type { Image } from '../../image/image.ts';
import { imageTensorFlags, readImageTensors } from '../image-tensors.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { required, text } from '../options.ts';
import { imageScaleFlag, strengthFlags } from '../request-flags.ts';

const options = {
  init: text(['--init-img', '-i', '--image'], 'FILE', 'initial image (required, or --from-latents)'),
  ...imageTensorFlags,
  ...strengthFlags,
  ...generationOptions,
  ...imageScaleFlag,
  ...outputOptions,
  ...modelOptions,
};

async function openInit(path: string): Promise<Image> {
  const { openImage } = await import('../../pipelines/image-files-node.ts');
  return openImage(path);
}

export const img2img = defineCommand({
  description:
    'Makes pictures of a prompt that start from an image. With an InstructPix2Pix model the prompt says what to change; a depth, upscaling or variation model of SD 2.x looks at the image in its own way.',
  words: '[prompt...]',
  options,
  examples: [
    'sd img2img "a watercolour" --init-img photo.jpg --strength 0.6',
    'sd img2img "make it winter" --init-img house.png --ckpt instruct-pix2pix.ckpt',
    'sd img2img "a cat" --init-img small.png --ckpt x4-upscaler-ema.safetensors --noise-level 20',
  ],
  async run(context, words, values) {
    const given = await readImageTensors(values);
    const image = given.latent ? undefined : await openInit(required(values.init, '--init-img', 'img2img'));
    return runGeneration(context, {
      task: 'img2img',
      options,
      values,
      words,
      outdir: 'outputs/img2img-samples',
      inputs: () => ({ image, ...given }),
    });
  },
});
