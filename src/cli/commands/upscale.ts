/** `sd upscale`: enlarges pictures with an upscaler's file. */

import { join, parse } from 'node:path';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { flatten } from '../../image/image.ts';
import { readUpscaler } from '../../models/upscalers/index.ts';
import { openImage, saveImageFile } from '../../pipelines/image-files-node.ts';
import { upscaleBy, upscaleOnce } from '../../upscaling/upscale-image.ts';
import { createUpscaler } from '../../upscaling/upscaler.ts';
import { defineCommand } from '../command.ts';
import { engineOptions, startEngine } from '../engine-options.ts';
import { createProgress } from '../progress.ts';
import { excluding } from '../needed-options.ts';
import { flag, integer, number, text, UsageError } from '../options.ts';

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
  outdir: excluding(text(['--outdir'], 'DIR', 'folder for the results (default: outputs/upscaled)'), '--output'),
  output: text(['--output', '-o'], 'FILE', 'path of the result, for one picture'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  json: flag(['--json'], 'print one JSON object for each picture'),
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
    const { model, scale, tile, overlap, output, outdir = join('outputs', 'upscaled') } = values;
    if (model === undefined) throw new UsageError('--model is required: the file of an upscaler.');
    if (output !== undefined && pictures.length > 1) throw new UsageError('--output takes one picture; use --outdir.');
    const { signal } = context;
    const weights = await openWeightsAt(model);
    await using engine = await startEngine(values, context);
    await using upscaler = createUpscaler(engine, readUpscaler(weights));
    const progress = createProgress(context.err, context.now, false);
    for (const picture of pictures) {
      const image = flatten(await openImage(picture));
      const path = output ?? join(outdir, `${parse(picture).name}.png`);
      const onTile = (done: number, count: number): void => progress.step(picture, done, count);
      const once = (from: typeof image) => upscaleOnce(from, upscaler, { tile, overlap, signal, onTile });
      const made = scale === undefined ? await once(image) : await upscaleBy(image, scale, once);
      progress.clear();
      await saveImageFile(path, made, { signal });
      const { width, height } = made;
      const { architecture } = upscaler.network;
      context.out.write(values.json ? `${JSON.stringify({ path, width, height, architecture })}\n` : `${path}\n`);
    }
    return 0;
  },
});
