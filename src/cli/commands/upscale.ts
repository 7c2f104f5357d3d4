/** `sd upscale`: enlarges pictures with an upscaler's file. */

import { join } from 'node:path';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { flatten } from '../../image/image.ts';
import { readUpscaler } from '../../models/upscalers/index.ts';
import { upscaleBy, upscaleOnce } from '../../upscaling/upscale-image.ts';
import { createUpscaler } from '../../upscaling/upscaler.ts';
import { changePictures, resultOptions, resultPaths } from '../change-pictures.ts';
import { defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { integer, number, text, UsageError } from '../options.ts';

const options = {
  model: text(['--model', '-m'], 'FILE', 'upscaler: ESRGAN, Real-ESRGAN, SwinIR, DAT or SCUNet (.pth, .safetensors)'),
  scale: number(
    ['--scale', '-s'],
    "factor on both sides, then rounded down to multiples of 8 (default: the network's)",
    {
      min: 0.05,
      max: 16,
    },
  ),
  tile: integer(['--tile'], 'side of a tile in pixels, 0 for none (default: 192; SCUNet 256)', { min: 0, max: 4096 }),
  overlap: integer(['--overlap'], 'pixels that neighbouring tiles share (default: 8)', { min: 0, max: 1024 }),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...resultOptions('outputs/upscaled'),
};

export const upscale = defineCommand({
  description: 'Enlarges or cleans pictures with an upscaler. Large pictures are processed in tiles.',
  words: '<picture...>',
  options,
  examples: [
    'sd upscale photo.png --model RealESRGAN_x4plus.pth',
    'sd upscale *.png --model 4x-UltraSharp.pth --scale 2 --outdir large',
  ],
  async run(context, pictures, values) {
    const { model, scale, tile, overlap, output, outdir = join('outputs', 'upscaled'), json } = values;
    if (model === undefined) throw new UsageError('--model is required: the file of an upscaler.');
    resultPaths(pictures, { output, outdir });
    const { signal } = context;
    const weights = await openWeightsAt(model);
    await using engine = await startEngine(values, context);
    await using upscaler = createUpscaler(engine, readUpscaler(weights));
    await changePictures(context, pictures, { output, outdir, json }, async (picture, onTile) => {
      const image = flatten(picture);
      const once = (from: typeof image) => upscaleOnce(from, upscaler, { tile, overlap, signal, onTile });
      const made = scale === undefined ? await once(image) : await upscaleBy(image, scale, once);
      const { width, height } = made;
      return { image: made, facts: { width, height, architecture: upscaler.network.architecture } };
    });
    return 0;
  },
});
