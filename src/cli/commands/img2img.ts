/** `sd img2img` (CompVis's scripts/img2img.py). */

import { defineCommand } from '../command.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { runGeneration } from '../generation.ts';
import { integer, number, text, UsageError } from '../options.ts';

const options = {
  init: text(['--init-img', '-i', '--image'], 'FILE', 'the picture to begin from'),
  strength: number(['--strength'], 'share of the noise: 0 leaves the picture as it is, 1 forgets it (default: 0.75)', {
    min: 0,
    max: 1,
  }),
  ...generationOptions,
  scale: number(['--scale', '--cfg-scale'], 'guidance: how closely to follow the prompt; 1 is none (default: 5)'),
  imageScale: number(['--image-scale'], 'InstructPix2Pix models: how closely to follow the picture (default: 1.5)'),
  height: integer(['--H', '--height', '-H'], "height to resize to (default: the picture's)", { min: 1 }),
  width: integer(['--W', '--width', '-W'], "width to resize to (default: the picture's)", { min: 1 }),
  ...outputOptions,
  ...modelOptions,
};

export const img2img = defineCommand({
  description:
    'Makes pictures of a prompt that begin from a picture. With an InstructPix2Pix model the prompt says what to change.',
  words: '[prompt...]',
  options,
  examples: [
    'sd img2img "a watercolour" --init-img photo.jpg --strength 0.6',
    'sd img2img "make it winter" --init-img house.png --ckpt instruct-pix2pix.ckpt',
  ],
  async run(context, words, values) {
    const { init } = values;
    if (init === undefined) throw new UsageError('There is no picture to begin from. Give one with --init-img FILE.');
    const { openImage } = await import('../../pipelines/image-files-node.ts');
    const image = await openImage(init);
    return runGeneration(context, {
      values,
      words,
      outdir: 'outputs/img2img-samples',
      async start(model, generate) {
        const { imageToImage } = await import('../../pipelines/image-to-image.ts');
        const { strength, height, width, imageScale } = values;
        return imageToImage(model, {
          ...generate,
          image,
          guidanceScale: values.scale ?? 5,
          ...(strength === undefined ? {} : { strength }),
          ...(height === undefined ? {} : { height }),
          ...(width === undefined ? {} : { width }),
          ...(imageScale === undefined ? {} : { imageGuidanceScale: imageScale }),
        });
      },
    });
  },
});
