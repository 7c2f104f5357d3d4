/** From the items of a data set to the inputs of an adapter's loss: latents, noise, timesteps, and captions as token ids or encoded. */

import type { Tensors } from '../../engine/engine.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { concatenate, scale } from '../../tensor/arithmetic.ts';
import { float32, int64, type Tensor } from '../../tensor/tensor.ts';
import type { ClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';
import { BatchGenerator } from '../data/batch-generator.ts';
import type { ItemPlaces, TrainingItem } from '../data/sample.ts';
import type { Autoencoder } from '../../model/autoencoder.ts';
import { latentsOf } from '../latent/latents.ts';
import { type FrozenTexts, itemSizes, sizesInput, type TextCondition } from './text-condition.ts';

export interface AdapterBatchOptions {
  readonly firstStage: Autoencoder;
  /** Factor on the latents. */
  readonly scaleFactor: number;
  /** Timesteps of the noise schedule. */
  readonly timesteps: number;
  /** One for each text encoder. */
  readonly tokenizers: readonly ClipTokenizer[];
  readonly tokens: number;
  readonly condition: TextCondition;
  /** The frozen text encoders; undefined where they are part of the trained graph. */
  readonly encodeText?: FrozenTexts['encode'] | undefined;
  /** The prompt of an item. Default: its caption. */
  readonly prompt?: (item: TrainingItem, generator: TorchGenerator) => string;
  /** Share of prompts that become empty, for classifier-free guidance. Default 0. */
  readonly conditionDropout?: number;
  /** How timesteps are drawn. Default `uniform`; `cubic` is (1 - u³) of all, which favours noise (Mou et al. 2023, T2I-Adapter). */
  readonly timestepSampling?: 'uniform' | 'cubic';
  /** Further inputs, of the items alone. */
  readonly further?: (items: readonly TrainingItem[]) => Promise<Tensors>;
  readonly offset?: boolean;
  readonly perturbation?: boolean;
  /** Prior preservation: which items are class pictures. */
  readonly isPrior?: (item: TrainingItem) => boolean;
}

/** The inputs of `traceAdapterLoss`. They depend on the items and the seed alone. */
export async function adapterBatch(
  items: readonly TrainingItem[],
  seed: number,
  options: AdapterBatchOptions,
  places?: ItemPlaces,
): Promise<Tensors> {
  const generator = new BatchGenerator(seed, places);
  const x0 = scale(await latentsOf(items, options.firstStage, generator), options.scaleFactor);
  const [b = 0, c = 0] = x0.shape;
  const noise = generator.randn(x0.shape);
  const t =
    options.timestepSampling === 'cubic'
      ? cubicTimesteps(
          generator.each(items, (_, draws) => draws.uniform()),
          options.timesteps,
        )
      : generator.randint(0, options.timesteps, [b]);
  const prompts = generator.each(items, (item, draws) => {
    const prompt = options.prompt?.(item, draws) ?? item.caption;
    return options.conditionDropout && draws.uniform() < options.conditionDropout ? '' : prompt;
  });
  return {
    x0,
    noise,
    t,
    ...(await conditionOf(prompts, items, options)),
    ...(options.offset ? { offset: generator.randn([b, c, 1, 1]) } : {}),
    ...(options.perturbation ? { perturbation: generator.randn(x0.shape) } : {}),
    ...(await options.further?.(items)),
    ...(options.isPrior
      ? {
          instance: float32(
            [b],
            items.map((item) => (options.isPrior?.(item) ? 0 : 1)),
          ),
        }
      : {}),
  };
}

/** (1 - u³) · T, below T. */
function cubicTimesteps(draws: readonly number[], count: number): Tensor<'int64'> {
  return int64(
    [draws.length],
    draws.map((u) => Math.min(count - 1, Math.floor((1 - u ** 3) * count))),
  );
}

/** The prompts as the loss takes them: ids and sizes for encoders in its graph, else `context` and, where the UNet has a vector, `y`. */
async function conditionOf(
  prompts: readonly string[],
  items: readonly TrainingItem[],
  { tokenizers, tokens, condition: { towers, sizes }, encodeText }: AdapterBatchOptions,
): Promise<Tensors> {
  const ids = tokenizers.map((tokenizer) =>
    int64(
      [prompts.length, tokens],
      prompts.flatMap((prompt) => [...tokenizer.tokenize(prompt, { length: tokens }).ids]),
    ),
  );
  const vector = sizes && itemSizes(sizes, items);
  if (!encodeText)
    return {
      ...Object.fromEntries(towers.map(({ input }, i) => [input, ids[i] as Tensor])),
      ...(vector ? { [sizesInput]: vector } : {}),
    };
  const { context, pooled } = await encodeText(ids);
  const parts = [pooled, vector].filter((part) => part !== undefined);
  return { context, ...(parts.length > 0 ? { y: concatenate(parts as [Tensor<'float32'>], 1) } : {}) };
}
