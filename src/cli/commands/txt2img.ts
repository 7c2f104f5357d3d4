/** `sd txt2img` (CompVis's scripts/txt2img.py). */

import { defineCommand } from '../command.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { runGeneration } from '../generation.ts';
import { integer, number, type OptionValues, UsageError } from '../options.ts';
import type { Model } from '../../model/model.ts';

const options = {
  ...generationOptions,
  scale: number(['--scale', '--cfg-scale'], 'guidance: how closely to follow the prompt; 1 is none (default: 7.5)'),
  height: integer(['--H', '--height', '-H'], "height in pixels (default: the model's own)", { min: 1 }),
  width: integer(['--W', '--width', '-W'], "width in pixels (default: the model's own)", { min: 1 }),
  channels: integer(['--C'], 'channels of the latent; the model says them, others are refused', { min: 1 }),
  factor: integer(['--f'], 'pixels for each element of the latent; the model says it, another is refused', { min: 1 }),
  ...outputOptions,
  ...modelOptions,
};

/** CompVis's scripts are told what the checkpoint says too. */
function checkLatent(model: Model, { channels, factor }: OptionValues<typeof options>): void {
  if (channels !== undefined && channels !== model.latentChannels)
    throw new UsageError(`--C is ${channels}, and this model has ${model.latentChannels} channels.`);
  if (factor !== undefined && factor !== model.downsampling)
    throw new UsageError(`--f is ${factor}, and this model has a factor of ${model.downsampling}.`);
}

export const txt2img = defineCommand({
  description: 'Makes pictures of a prompt.',
  words: '[prompt...]',
  options,
  examples: [
    'sd txt2img "a red apple" --steps 20',
    'sd txt2img "a photograph of an astronaut riding a horse" --ckpt sd-v1-4.ckpt --plms --n_samples 3',
    'sd txt2img --from-file prompts.txt --sampler "DPM++ 2M Karras" --seed random --json',
  ],
  run: (context, words, values) =>
    runGeneration(context, {
      values,
      words,
      outdir: 'outputs/txt2img-samples',
      async start(model, generate) {
        checkLatent(model, values);
        const { textToImage } = await import('../../pipelines/text-to-image.ts');
        const [, , rows, columns] = generate.startNoise?.shape ?? [];
        const height = values.height ?? (rows === undefined ? undefined : rows * model.downsampling);
        const width = values.width ?? (columns === undefined ? undefined : columns * model.downsampling);
        return textToImage(model, {
          ...generate,
          ...(values.scale === undefined ? {} : { guidanceScale: values.scale }),
          ...(height === undefined ? {} : { height }),
          ...(width === undefined ? {} : { width }),
        });
      },
    }),
});
