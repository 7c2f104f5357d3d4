/** `sd inpaint` (runwayml's scripts/inpaint_st.py for 9-channel models; CompVis's masked sampling for any other). */

import { defineCommand } from '../command.ts';
import { runGeneration } from '../generation.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { required, text } from '../options.ts';
import { readImageTensors, smallFlag } from '../image-tensors.ts';
import { colorFlags } from '../picture-flags.ts';
import { maskFlags, noiseLevelFlag, strengthFlags } from '../request-flags.ts';

const options = {
  init: text(['--init-img', '-i', '--image'], 'FILE', 'image to paint in (required)'),
  mask: text(['--mask', '-m'], 'FILE', 'mask (required): white is painted, black is kept'),
  indir: text(
    ['--indir'],
    'FOLDER',
    'paint each picture of a folder that has a mask there, NAME_mask.png; results go to --outdir',
  ),
  ...strengthFlags,
  ...maskFlags,
  ...colorFlags,
  ...smallFlag,
  ...noiseLevelFlag,
  ...generationOptions,
  ...outputOptions,
  ...modelOptions,
};

export const inpaintCommand = defineCommand({
  description: 'Paints the masked part of an image, with inpainting models (nine input channels) and with all others.',
  words: '[prompt...]',
  options,
  examples: [
    'sd inpaint "a hat" --init-img face.png --mask hat.png',
    'sd inpaint --indir holes --outdir filled --ckpt inpainting_big/model.ckpt',
    'sd inpaint "a bench" --init-img park.png --mask hole.png --ckpt sd-v1-5-inpainting.ckpt',
  ],
  async run(context, words, values) {
    if (values.indir !== undefined) {
      const { inpaintFolder } = await import('../inpaint-folder.ts');
      return inpaintFolder(context, { folder: values.indir, options, values, words });
    }
    const init = required(values.init, '--init-img', 'inpaint');
    const maskPath = required(values.mask, '--mask', 'inpaint');
    const { openImage } = await import('../../pipelines/image-files-node.ts');
    const [image, mask] = [await openImage(init), await openImage(maskPath)];
    const given = await readImageTensors(values);
    return runGeneration(context, {
      task: 'inpaint',
      options,
      values,
      words,
      outdir: 'outputs/inpaint-samples',
      inputs: () => ({ image, mask, ...given }),
    });
  },
});
