/** What a run is guided by: prompts with scales. */

import type { Denoiser } from '../../diffusion/denoiser.ts';
import { zeros, type Tensor } from '../../tensor/tensor.ts';
import type { ConditioningValue } from '../values/conditioning.ts';
import type { FurtherInputs, ModelCall, ModelValue } from '../values/model.ts';
import { controlRun } from './control-inputs.ts';
import { atLevel, callOf, guided, guidedDenoiser } from './denoise.ts';
import { perpendicularTo } from './guidance-filters.ts';
import type { RunShape } from './run-shape.ts';
import { type PredictOptions, predictPrompts } from './predict.ts';
import { lazyDenoiser, NetworkCache } from './step-cache.ts';
import { type Region, regionsOf } from './regions.ts';
import type { Guider } from './sample.ts';

type Latent = Tensor<'float32'>;
type Regions = readonly Region[];

/** What the model's patches add to each call of a run. */
function furtherOf({ patches }: ModelValue, { random }: RunShape): FurtherInputs | undefined {
  const all = (patches.furtherInputs ?? []).map((begin) => begin(random));
  if (all.length === 0) return undefined;
  return (network, inputs) => Object.assign({}, ...all.map((further) => further(network, inputs)));
}

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
      const others = new Map<ConditioningValue, Promise<Regions>>();
      const regionsFor = (prompt: ConditioningValue): Promise<Regions> => {
        const own = others.get(prompt) ?? regionsOf(model, [prompt], run).then(([first = []]) => first);
        others.set(prompt, own);
        return own;
      };
      const { cache } = model.patches;
      const options = {
        model,
        networks,
        controls: controlRun(),
        cache: cache?.of === 'network' ? new NetworkCache(cache, model) : undefined,
        further: furtherOf(model, run),
        regionsFor,
        signal,
      };
      const denoiser = denoiserOf(options, regions, needsUnconditional);
      return cache?.of === 'guided' ? lazyDenoiser(denoiser, cache, model.sampling) : denoiser;
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

/** What a guider makes of the predictions of all its prompts. */
interface Predicted {
  readonly x: Latent;
  readonly sigma: number;
  readonly predictions: readonly Latent[];
  readonly watched: Tensor | undefined;
  /** Further predictions of two of the prompts. */
  readonly call: (conditional: number, unconditional: number) => ModelCall;
}

/** A denoiser of predictions of all prompts, whose last is the unconditional one. */
function combined(
  options: PredictOptions,
  regions: readonly Regions[],
  join: (predicted: Predicted) => Promise<Latent>,
): Denoiser {
  const parts = async (x: Latent, sigma: number) => {
    let watched: Tensor | undefined;
    const own = { ...atLevel(options, sigma), watch: (seen: Tensor) => (watched = seen) };
    const predictions = await predictPrompts(own, regions, x, sigma);
    const call = (conditional: number, unconditional: number): ModelCall =>
      callOf(own, [regions[conditional] ?? [], regions[unconditional] ?? []], x, sigma);
    return {
      denoised: await join({ x, sigma, predictions, watched, call }),
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
    combined(options, regions, async ({ x, sigma, predictions, watched, call }) => {
      const [p, m, n] = predictions as [Latent, Latent, Latent];
      const guide = (at: number, scale: number): Promise<Latent> => {
        const [conditional, unconditional] = predictions.slice(at, at + 2) as [Latent, Latent];
        return guided(model.patches, { x, sigma, scale, conditional, unconditional, watched }, call(at, at + 1));
      };
      if (isNested) return plus(n, await guide(0, first), second, n);
      return plus(await guide(1, second), p, first, m);
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
    combined(options, regions, async ({ x, sigma, predictions, watched, call }) => {
      const [p, n, e] = predictions as [Latent, Latent, Latent];
      const result = perpendicularTo([p, n, e], scale, negativeScale);
      const patches = { ...model.patches, beforeGuidance: [], guide: () => result };
      return guided(patches, { x, sigma, scale, conditional: p, unconditional: n, watched }, call(0, 1));
    }),
  );
}
