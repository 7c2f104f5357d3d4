/** KSampler and KSamplerAdvanced: a part of a schedule, from a latent with noise of a seed. */

import type { Seed } from '../../random/seed.ts';
import type { NodeContext } from '../context-in-run.ts';
import type { LatentValue } from '../values.ts';
import type { ConditioningValue } from '../values/conditioning.ts';
import type { ModelValue } from '../values/model.ts';
import { cfgGuider } from './guiders.ts';
import { noNoise, seededNoise } from './noise.ts';
import { latentsOf, sampleLatent } from './sample.ts';
import { kSamplerSigmas, samplerOf } from './sigmas.ts';

export interface KSampleOptions {
  readonly model: ModelValue;
  readonly seed: Seed;
  readonly steps: number;
  readonly cfg: number;
  readonly sampler: string;
  readonly scheduler: string;
  readonly positive: ConditioningValue;
  readonly negative: ConditioningValue;
  readonly latent: LatentValue;
  readonly denoise: number;
  /** Starts from the latent as it is. */
  readonly withoutNoise?: boolean | undefined;
  /** Steps from `start` up to `end`. */
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  /** Stops at the level of `end`; otherwise that is taken as 0. Default: true without `end`. */
  readonly keepsNoise?: boolean | undefined;
}

/** The levels of the steps that are run; undefined where none are. */
function partOf(whole: Float32Array, { start, end, keepsNoise = true }: KSampleOptions): Float32Array | undefined {
  let sigmas = whole.slice();
  if (end !== undefined && end < sigmas.length - 1) {
    sigmas = sigmas.slice(0, end + 1);
    if (!keepsNoise) sigmas[sigmas.length - 1] = 0;
  }
  if (start === undefined) return sigmas;
  return start < sigmas.length - 1 ? sigmas.slice(start) : undefined;
}

/** The sampled latent; what else the latent had stays. */
export async function kSample(options: KSampleOptions, context: NodeContext): Promise<LatentValue> {
  const { model, positive, negative, cfg, sampler, latent, seed } = options;
  const sigmas = partOf(kSamplerSigmas(model.sampling, options), options);
  if (!sigmas) return latent;
  const { samples } = await sampleLatent(
    {
      guider: cfgGuider(model, [positive, negative], cfg),
      sampler: samplerOf(sampler),
      sigmas,
      noise: (options.withoutNoise ? noNoise : seededNoise(seed)).make(latent),
      seed,
      latent,
    },
    context,
  );
  return { ...latent, samples, of: latentsOf(model) };
}
