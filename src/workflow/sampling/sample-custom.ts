/** SamplerCustom and SamplerCustomAdvanced: a run over given sigmas; its latent, and the last guess of the clean latent. */

import { scaledLatent, unscaledLatent } from '../../model/latent-scale.ts';
import { addScaled } from '../../tensor/arithmetic.ts';
import type { NodeContext } from '../context-in-run.ts';
import type { LatentValue, NoiseValue, SamplerValue } from '../values.ts';
import type { ModelValue } from '../values/model.ts';
import { type Guider, latentsOf, sampleLatent } from './sample.ts';

export interface CustomSampling {
  readonly guider: Guider;
  readonly noise: NoiseValue;
  readonly sampler: SamplerValue;
  readonly sigmas: Float32Array;
  readonly latent: LatentValue;
}

export async function sampleCustom(
  { noise, latent, ...options }: CustomSampling,
  context: NodeContext,
): Promise<readonly [LatentValue, LatentValue]> {
  const { samples, denoised } = await sampleLatent(
    { ...options, latent, noise: noise.make(latent), seed: noise.seed },
    context,
  );
  const of = latentsOf(options.guider.model);
  return [
    { ...latent, samples, of },
    { ...latent, samples: denoised, of },
  ];
}

/** A latent with noise of the difference of the first and the last level. */
export function noisedLatent(
  { config }: ModelValue,
  noise: NoiseValue,
  sigmas: Float32Array,
  latent: LatentValue,
): LatentValue {
  const [first] = sigmas;
  if (first === undefined) return latent;
  const level = sigmas.length > 1 ? Math.abs(Math.fround(first - (sigmas.at(-1) as number))) : first;
  const inside = latent.samples.data.some((value) => value !== 0)
    ? scaledLatent(latent.samples, config)
    : latent.samples;
  const noised = unscaledLatent(addScaled(inside, level, noise.make(latent)), config);
  return { ...latent, samples: { ...noised, data: noised.data.map((value) => (Number.isFinite(value) ? value : 0)) } };
}
