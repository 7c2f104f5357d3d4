/** What a run is guided by: prompts with scales. */

import type { Denoiser } from '../../diffusion/denoiser.ts';
import { zeros, type Tensor } from '../../tensor/tensor.ts';
import type { ConditioningValue } from '../values/conditioning.ts';
import type { GuidanceParts, ModelCall, ModelValue } from '../values/model.ts';
import { controlRun } from './control-inputs.ts';
import { guided, guidedDenoiser } from './denoise.ts';
import { type PredictOptions, predictPrompts } from './predict.ts';
import { type Region, regionsOf } from './regions.ts';
import type { Guider } from './sample.ts';

type Latent = Tensor<'float32'>;
type Regions = readonly Region[];

/** A guider of any number of prompts, the positive one first. */
function guiderOf(
  model: ModelValue,
  prompts: readonly ConditioningValue[],
  denoiserOf: (options: PredictOptions, regions: readonly Regions[], needsUnconditional: boolean) => Denoiser,
): Guider {
  return {
    model,
    async denoiser(run, needsUnconditional, { networks, signal }) {
      const regions = await regionsOf(model, prompts, run);
      return denoiserOf({ model, networks, controls: controlRun(), signal }, regions, needsUnconditional);
    },
  };
}

/** Classifier-free guidance of two prompts. */
export const cfgGuider = (
  model: ModelValue,
  prompts: readonly [positive: ConditioningValue, negative: ConditioningValue],
  scale: number,
): Guider =>
  guiderOf(model, prompts, (options, [positive = [], negative = []], needs) =>
    guidedDenoiser(options, [positive, negative], scale, needs),
  );

/** One prompt alone. */
export const basicGuider = (model: ModelValue, prompt: ConditioningValue): Guider => cfgGuider(model, [prompt, []], 1);

/** No further calls of the network are made by these guiders' patches. */
const noCall = (signal: AbortSignal | undefined): ModelCall => ({
  signal,
  predict: () => Promise.reject(new Error('This guider makes no further predictions.')),
});

/** A denoiser of predictions of all prompts, whose last is the unconditional one. */
function combined(
  options: PredictOptions,
  regions: readonly Regions[],
  join: (x: Latent, sigma: number, predictions: readonly Latent[]) => Promise<Latent>,
): Denoiser {
  const parts = async (x: Latent, sigma: number) => {
    const predictions = await predictPrompts(options, regions, x, sigma);
    return {
      denoised: await join(x, sigma, predictions),
      unconditional: predictions.at(-1) ?? zeros('float32', x.shape),
    };
  };
  return Object.assign(async (x: Latent, sigma: number) => (await parts(x, sigma)).denoised, { parts });
}

const plus = (a: Latent, b: Latent, factor: number, minus: Latent): Latent => ({
  ...a,
  data: a.data.map((value, i) => value + ((b.data[i] as number) - (minus.data[i] as number)) * factor),
});

/** Guidance by a prompt over a second one, and by that over the negative prompt. */
export function dualGuider(
  model: ModelValue,
  prompts: readonly [first: ConditioningValue, second: ConditioningValue, negative: ConditioningValue],
  { first, second, isNested }: { readonly first: number; readonly second: number; readonly isNested: boolean },
): Guider {
  return guiderOf(model, prompts, (options, regions) =>
    combined(options, regions, async (x, sigma, [one, two, none]) => {
      const [p, m, n] = [one, two, none] as [Latent, Latent, Latent];
      const call = noCall(options.signal);
      const guide = (conditional: Latent, unconditional: Latent, scale: number): Promise<Latent> =>
        guided(model.patches, { x, sigma, scale, conditional, unconditional } satisfies GuidanceParts, call);
      if (isNested) return plus(n, await guide(p, m, first), second, n);
      return plus(await guide(m, n, second), p, first, m);
    }),
  );
}

/** Perp-Neg: only the part of the negative prompt across the positive one counts (Armandpour et al. 2023, arXiv 2304.04968). */
export function perpendicularGuider(
  model: ModelValue,
  prompts: readonly [positive: ConditioningValue, negative: ConditioningValue, empty: ConditioningValue],
  scale: number,
  negativeScale: number,
): Guider {
  return guiderOf(model, prompts, (options, regions) =>
    combined(options, regions, async (x, sigma, [positive, negative, empty]) => {
      const [p, n, e] = [positive, negative, empty] as [Latent, Latent, Latent];
      const away = (value: Latent): Float32Array => value.data.map((one, i) => one - (e.data[i] as number));
      const [pos, neg] = [away(p), away(n)];
      const dot = neg.reduce((sum, value, i) => sum + value * (pos[i] as number), 0);
      const square = pos.reduce((sum, value) => sum + value * value, 0);
      const data = e.data.map((value, i) => {
        const across = ((neg[i] as number) - (dot / square) * (pos[i] as number)) * negativeScale;
        return value + scale * ((pos[i] as number) - across);
      });
      const parts: GuidanceParts = { x, sigma, scale, conditional: p, unconditional: e };
      return guided({ ...model.patches, guide: () => ({ ...e, data }) }, parts, noCall(options.signal));
    }),
  );
}
