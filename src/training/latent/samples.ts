/** Sample grids of a latent diffusion model in training, made with the samplers and pipelines that users have. */

import type { Engine } from '../../engine/engine.ts';
import type { Image } from '../../image/image.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import type { GenerateOptions } from '../../generation/inputs.ts';
import { trainingConditioner } from '../../conditioning/conditioners.ts';
import { generate } from '../../pipelines/generate.ts';
import { Model } from '../../model/model.ts';
import { takeBatch } from '../../tensor/batches.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import type { BertTokenizer } from '../../tokenizer/bert-tokenizer.ts';
import type { ClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';
import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import type { LatentDiffusionBatch } from './trainee.ts';
import type { TraineeSamples } from '../trainee.ts';

export interface LatentDiffusionSampleOptions {
  readonly engine: Engine;
  readonly tokenizer?: ClipTokenizer | BertTokenizer;
  /** One picture each. Without them, and for models that take pictures, captions of the batch. */
  readonly prompts: readonly string[];
  /** Classes for class-conditional models. Default: 0, 1, …. */
  readonly classes: readonly number[];
  /** Most pictures. */
  readonly count: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly seed: number;
  /** Pixels of each side. */
  readonly size: number;
}

/** Inputs of the pictures: pipeline options, captions, and rows that are concatenated to the latents. */
function wanted(
  model: Model,
  { items, inputs }: LatentDiffusionBatch,
  options: LatentDiffusionSampleOptions,
): {
  readonly given: Pick<GenerateOptions, 'prompt' | 'classLabels'>;
  readonly captions: readonly string[];
  readonly concat?: Tensor<'float32'>;
} {
  const { config } = model.checkpoint;
  const { takes, classes: count } = trainingConditioner(config);
  const more = inputs['concat'];
  if (more) {
    const count = Math.min(options.count, items.length);
    const captions = items.slice(0, count).map(({ caption }) => caption);
    return {
      given: takes === 'texts' ? { prompt: captions } : {},
      captions,
      concat: takeBatch(expectDType(more, 'float32'), 0, count),
    };
  }
  if (takes === 'classes') {
    const labels = (options.classes.length > 0 ? options.classes : Array.from({ length: count }, (_, i) => i)).slice(
      0,
      options.count,
    );
    return { given: { classLabels: labels }, captions: labels.map((label) => `class ${label}`) };
  }
  if (takes === 'texts') {
    const prompts = (options.prompts.length > 0 ? options.prompts : items.map(({ caption }) => caption)).slice(
      0,
      options.count,
    );
    return { given: { prompt: prompts }, captions: prompts };
  }
  return { given: {}, captions: Array.from({ length: options.count }, () => '') };
}

/** Pictures of one size; for models that take a picture, what they were given in a row above. The networks are compiled for it and freed again. */
export async function latentDiffusionSamples(
  checkpoint: Checkpoint,
  batch: LatentDiffusionBatch,
  options: LatentDiffusionSampleOptions,
): Promise<TraineeSamples> {
  const { engine, tokenizer, steps, guidanceScale, seed, size } = options;
  await using model = new Model({
    engine,
    checkpoint,
    ownsCheckpoint: false,
    tokenizers: new Map(tokenizer ? [['cond_stage', tokenizer]] : []),
  });
  const { given, captions, concat } = wanted(model, batch, options);
  const pipeline = generate(
    model,
    {
      task: 'txt2img',
      ...given,
      width: size,
      height: size,
      batchSize: captions.length,
      steps,
      guidanceScale,
      seed,
      safety: false,
      watermark: false,
    },
    concat ? { prepare: async () => ({ concat }) } : {},
  );
  const images: Image[] = [];
  for await (const event of pipeline)
    if (event.kind === 'result') images.push(...event.images.map(({ image }) => image));
  if (!concat) return { images, captions };
  const x0 = batch.inputs['x0'];
  const originals = x0
    ? tensorToImages(await model.decodeLatent(takeBatch(expectDType(x0, 'float32'), 0, captions.length)))
    : [];
  return {
    images: [...originals, ...images],
    captions: [...originals.map(() => 'image'), ...captions],
    columns: captions.length,
  };
}
