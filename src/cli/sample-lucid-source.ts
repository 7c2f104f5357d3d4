/** `sd sample` of a model of denoising-diffusion-pytorch: what its `Trainer` saves, or a part of that. */

import { openLucidFile } from '../checkpoints/lucid-file.ts';
import { parseLucidFlags } from '../config/lucid-flags.ts';
import { StableDiffusionError } from '../errors.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { UsageError } from './options.ts';
import type { SampleContext, SampleSource, SampleValues } from './sample-kind.ts';

/** Options that say nothing to these models. */
const others = {
  classes: '--class',
  prompts: '--prompts',
  classifier: '--classifier',
  classifierScale: '--classifier-scale',
  base: '--base',
  scale: '--scale',
  sampler: '--sampler',
  respacing: '--respacing',
  ddim: '--ddim',
  config: '--config',
  vocabulary: '--vocab',
} as const;

/** Throws `UsageError` for options of other models, and without the size of the pictures, which is not in the file. */
export async function lucidSource(
  path: string,
  weights: WeightSource,
  values: SampleValues,
  { engine, onStep }: SampleContext,
): Promise<SampleSource> {
  const wrong = Object.entries(others).find(([name]) => values[name as keyof typeof others]);
  if (wrong) throw new UsageError(`${path} is a model of denoising-diffusion-pytorch, which takes no ${wrong[1]}.`);
  const { width = values.height, height = width, steps, eta, seed = 0, noEma } = values;
  if (width === undefined || height === undefined)
    throw new UsageError(
      `${path} is a model of denoising-diffusion-pytorch, whose file does not hold the size of its pictures. Give --width (and --height), the image_size of its training.`,
    );
  const flags = parseLucidFlags(values.flags ?? '');
  const { openLucidModel } = await import('../model/lucid-model.ts');
  const { lucidMaker } = await import('../pipelines/bulk/lucid-maker.ts');
  const file = openLucidFile(weights, { last: noEma });
  if (!file) throw new StableDiffusionError('model-unknown', `${path} is no model of denoising-diffusion-pytorch.`);
  const model = await openLucidModel(engine, file, flags);
  try {
    return {
      maker: lucidMaker({ model, seed, width, height, steps, eta, onStep }),
      count: undefined,
      facts: { flags, ema: file.isAveraged, width, height, steps: steps ?? model.process.steps, eta: eta ?? 0 },
      close: async () => model[Symbol.asyncDispose](),
    };
  } catch (error) {
    await model[Symbol.asyncDispose]();
    throw error;
  }
}
