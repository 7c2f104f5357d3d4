/** Pictures of a model with the adapter in its current state. */

import type { Image } from '../../image/image.ts';
import type { Tokenizer } from '../../conditioning/conditioner.ts';
import { Model, type ModelOptions } from '../../model/model.ts';
import { textToImage } from '../../pipelines/text-to-image.ts';
import type { TraineeSamples } from '../trainee.ts';

export interface AdapterSampleOptions {
  readonly prompts: readonly string[];
  /** Default 25. */
  readonly steps?: number;
  /** Default 7.5. */
  readonly guidanceScale?: number;
  /** Seed of the start noise, the same for every prompt. Default 1. */
  readonly seed?: number;
  /** Pixels. Default: the model's native size. */
  readonly width?: number;
  readonly height?: number;
}

/** One picture for each prompt. The networks are compiled for it and freed again; the checkpoint stays open. */
export async function adapterSamples(
  { tokenizer, ...options }: Pick<ModelOptions, 'engine' | 'checkpoint'> & { readonly tokenizer: Tokenizer },
  { prompts, steps = 25, seed = 1, ...settings }: AdapterSampleOptions,
): Promise<TraineeSamples> {
  await using model = new Model({
    ...options,
    tokenizers: new Map([['cond_stage', tokenizer]]),
    ownsCheckpoint: false,
  });
  const images: Image[] = [];
  for (const prompt of prompts) {
    for await (const event of textToImage(model, {
      ...settings,
      prompt,
      steps,
      seed,
      safety: false,
      watermark: false,
    })) {
      if (event.kind === 'result') images.push(...event.images.map(({ image }) => image));
    }
  }
  return { images, captions: prompts };
}
