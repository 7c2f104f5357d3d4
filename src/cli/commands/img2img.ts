/** `sd img2img` (CompVis's scripts/img2img.py). */

import { defineCommand } from '../command.ts';
import { runGeneration } from '../generation.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { required, text } from '../options.ts';
import { imageScaleFlag, strengthFlags } from '../request-flags.ts';

const options = {
  init: text(['--init-img', '-i', '--image'], 'FILE', 'initial image (required)'),
  ...strengthFlags,
  ...generationOptions,
  ...imageScaleFlag,
  ...outputOptions,
  ...modelOptions,
};

export const img2img = defineCommand({
  description:
    'Makes pictures of a prompt that start from an image. With an InstructPix2Pix model the prompt says what to change.',
  words: '[prompt...]',
  options,
  examples: [
    'sd img2img "a watercolour" --init-img photo.jpg --strength 0.6',
    'sd img2img "make it winter" --init-img house.png --ckpt instruct-pix2pix.ckpt',
  ],
  async run(context, words, values) {
    const init = required(values.init, '--init-img', 'img2img');
    const { openImage } = await import('../../pipelines/image-files-node.ts');
    const image = await openImage(init);
    return runGeneration(context, {
      task: 'img2img',
      options,
      values,
      words,
      outdir: 'outputs/img2img-samples',
      inputs: () => ({ image }),
    });
  },
});
