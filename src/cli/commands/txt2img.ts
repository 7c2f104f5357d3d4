/** `sd txt2img` (CompVis's scripts/txt2img.py). */

import type { Model } from '../../model/model.ts';
import { defineCommand } from '../command.ts';
import { runGeneration } from '../generation.ts';
import { generationOptions, modelOptions, outputOptions } from '../generation-options.ts';
import { integer, type OptionValues, UsageError } from '../options.ts';

const options = {
  ...generationOptions,
  channels: integer(['--C'], 'latent channels; accepted for compatibility, must match the model', { min: 1 }),
  factor: integer(['--f'], 'downsampling factor; accepted for compatibility, must match the model', { min: 1 }),
  ...outputOptions,
  ...modelOptions,
};

/** CompVis's scripts take these two numbers, which the checkpoint has anyway. */
function checkLatent(model: Model, { channels, factor }: OptionValues<typeof options>): void {
  if (channels !== undefined && channels !== model.latentChannels)
    throw new UsageError(
      `--C must match the model, which has ${model.latentChannels} latent channels, got ${channels}.`,
    );
  if (factor !== undefined && factor !== model.downsampling)
    throw new UsageError(`--f must match the model, which has a factor of ${model.downsampling}, got ${factor}.`);
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
      task: 'txt2img',
      options,
      values,
      words,
      outdir: 'outputs/txt2img-samples',
      inputs(model) {
        checkLatent(model, values);
        return {};
      },
    }),
});
