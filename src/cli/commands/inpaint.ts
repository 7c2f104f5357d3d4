/** `sd inpaint` (runwayml's scripts/inpaint_st.py for 9-channel models; CompVis's masked sampling for any other). */

import { defineCommand } from '../command.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { runGeneration } from '../generation.ts';
import { integer, number, text, UsageError } from '../options.ts';

const options = {
  init: text(['--init-img', '-i', '--image'], 'FILE', 'the picture'),
  mask: text(['--mask', '-m'], 'FILE', 'a picture that is white where it is made anew, and black where it is kept'),
  strength: number(['--strength'], 'models without inpainting channels: share of the noise (default: 1)', {
    min: 0,
    max: 1,
  }),
  ...generationOptions,
  scale: number(['--scale', '--cfg-scale'], 'guidance: how closely to follow the prompt; 1 is none (default: 7.5)'),
  height: integer(['--H', '--height', '-H'], "height to resize to (default: the picture's)", { min: 1 }),
  width: integer(['--W', '--width', '-W'], "width to resize to (default: the picture's)", { min: 1 }),
  ...outputOptions,
  ...modelOptions,
};

export const inpaintCommand = defineCommand({
  description: 'Makes a part of a picture anew, with inpainting models (nine input channels) and with all others.',
  words: '[prompt...]',
  options,
  examples: [
    'sd inpaint "a hat" --init-img face.png --mask hat.png',
    'sd inpaint "a bench" --init-img park.png --mask hole.png --ckpt sd-v1-5-inpainting.ckpt',
  ],
  async run(context, words, values) {
    const { init, mask: maskPath } = values;
    if (init === undefined || maskPath === undefined)
      throw new UsageError(
        `There is no ${init === undefined ? 'picture' : 'mask'}. Give both: --init-img FILE --mask FILE.`,
      );
    const { openImage } = await import('../../pipelines/image-files-node.ts');
    const [image, mask] = [await openImage(init), await openImage(maskPath)];
    return runGeneration(context, {
      values,
      words,
      outdir: 'outputs/inpaint-samples',
      async start(model, generate) {
        const { inpaint } = await import('../../pipelines/inpaint.ts');
        const { strength, height, width } = values;
        return inpaint(model, {
          ...generate,
          image,
          mask,
          ...(values.scale === undefined ? {} : { guidanceScale: values.scale }),
          ...(strength === undefined ? {} : { strength }),
          ...(height === undefined ? {} : { height }),
          ...(width === undefined ? {} : { width }),
        });
      },
    });
  },
});
