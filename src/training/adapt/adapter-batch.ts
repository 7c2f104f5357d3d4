/** From the items of a data set to the inputs of an adapter's loss: latents, noise, timesteps, and captions as token ids or encoded. */

import { StableDiffusionError } from '../../errors.ts';
import type { Program, Tensors } from '../../engine/engine.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { scale } from '../../tensor/arithmetic.ts';
import { expectDType, float32, int64, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { ClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';
import { BatchGenerator } from '../data/batch-generator.ts';
import type { ItemPlaces, TrainingItem } from '../data/sample.ts';
import type { Autoencoder } from '../../model/autoencoder.ts';
import { latentsOf } from '../latent/latents.ts';

export interface AdapterBatchOptions {
  readonly firstStage: Autoencoder;
  /** Factor on the latents. */
  readonly scaleFactor: number;
  /** Timesteps of the noise schedule. */
  readonly timesteps: number;
  readonly tokenizer: ClipTokenizer;
  readonly tokens: number;
  /** The frozen text encoder, input_ids → context; undefined where it is part of the trained graph. */
  readonly encodeText?: (ids: Tensor<'int64'>) => Promise<Tensor<'float32'>>;
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
  const rows = prompts.map((prompt) => options.tokenizer.tokenize(prompt, { length: options.tokens }).ids);
  const ids = tensor('int64', [b, options.tokens], BigInt64Array.from(rows.flat().map(BigInt)));
  return {
    x0,
    noise,
    t,
    ...(options.encodeText ? { context: await options.encodeText(ids) } : { input_ids: ids }),
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

/** A compiled text encoder as a function. */
export function textEncoder(program: Program, output: string): (ids: Tensor<'int64'>) => Promise<Tensor<'float32'>> {
  return async (ids) => {
    const results = await program.run({ input_ids: ids }, { outputs: [output] });
    const context = results[output];
    if (!context) throw new StableDiffusionError('engine-failed', 'The text encoder returned no context.');
    return expectDType(context, 'float32');
  };
}
