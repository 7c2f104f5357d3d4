/**
 * Conditions and classifier-free guidance: from a network call to the guided `DiffusionModel` that samplers work on.
 *
 * Ho and Salimans 2022, "Classifier-Free Diffusion Guidance" (arXiv 2207.12598): out = u + scale (c - u). As CompVis's samplers, the two
 * passes are one batch [unconditional, conditional]. Optionally with the rescaling of Lin et al. 2023 (arXiv 2305.08891, section 3.4),
 * and with the second scale of InstructPix2Pix (Brooks et al. 2023, arXiv 2211.09800, equation 3).
 */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import {
  inputsLayout,
  joinInputs,
  type NetworkInputs,
  repeatBatch,
  repeatInputs,
  takeBatch,
} from '../tensor/batches.ts';
import { expectDType, float32, type Tensor } from '../tensor/tensor.ts';
import type { DiffusionModel, Latent, PredictedParts } from './denoiser.ts';
import { learnedHalves } from './learned-variance.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import type { Parameterization } from './parameterization.ts';

/**
 * Inputs of the network besides x and the timestep, by name: `context` float32 [n, tokens, width] for cross-attention, `y` int64 [n] or
 * float32 [n, width] for labels and vectors, whatever else the network declares. One name is not an input of its own: the channels of
 * `concat`, float32 [n, channels, h, w], are appended to those of x. A batch of 1 serves every image.
 */
export type Condition = NetworkInputs;

/** A condition with x, which has the channels of `concat` in it, and the timesteps, float32 [n]. */
export interface DenoiserInputs extends NetworkInputs {
  readonly x: Latent;
  readonly timesteps: Tensor<'float32'>;
}

/** One run of the network: float32 [n, channels, h, w], what it predicts. */
export type Network = (inputs: DenoiserInputs, signal?: AbortSignal) => Promise<Latent>;

/** One call of the model, after the network's passes for guidance. */
export interface GuidanceCall {
  /** The sampler's state, without channels that a condition appends. */
  readonly x: Latent;
  readonly timestep: number;
  readonly network: Network;
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  /** Inputs and output of the pass with the prompt. */
  readonly conditional: DenoiserInputs;
  readonly prompted: Latent;
  /** Those of the pass with the negative prompt; undefined without guidance. */
  readonly unconditional?: DenoiserInputs | undefined;
  readonly negative?: Latent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The guided prediction of a call, changed. */
export type GuidanceTerm = (guided: Latent, call: GuidanceCall) => Promise<Latent>;

export interface GuidedModelOptions {
  readonly network: Network;
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  readonly condition: Condition;
  /** The condition of the empty or negative prompt; without it guidance is off. */
  readonly unconditional?: Condition | undefined;
  /** Guidance scale; at 1 (default) only the conditional pass is run. */
  readonly scale?: number | undefined;
  /** InstructPix2Pix: the scale of the image, with `imageUnconditional` (no text, no image) as the third condition; `unconditional` then has the image and no text. */
  readonly imageScale?: number | undefined;
  readonly imageUnconditional?: Condition | undefined;
  /** Guidance rescale factor φ, 0 (default) to 1: how far the guided output's standard deviation is moved to the conditional one's. */
  readonly rescale?: number | undefined;
  /** The network says a variance behind its prediction. Guidance acts on the prediction alone. Default false. */
  readonly learnsVariance?: boolean | undefined;
  /** Further terms of guidance, one after another. Not with guidance by an image. */
  readonly terms?: readonly GuidanceTerm[] | undefined;
}

/** The inputs of one run: a condition for every image of x, at one timestep. Throws `shape-mismatch` if it is for another number of images. */
export function denoiserInputs(x: Latent, timestep: number, { concat, ...others }: Condition): DenoiserInputs {
  const count = x.shape[0] as number;
  return {
    ...repeatInputs(others, count),
    x: concat ? concatenate([x, repeatBatch(expectDType(concat, 'float32', 'concat'), count, 'concat')], 1) : x,
    timesteps: float32([count], new Float32Array(count).fill(timestep)),
  };
}

/** Runs the network on several inputs: as one batch in their order if their layouts agree, else one after the other. */
async function runAll(
  network: Network,
  all: readonly DenoiserInputs[],
  signal: AbortSignal | undefined,
): Promise<Latent[]> {
  const [first] = all as [DenoiserInputs];
  const layout = inputsLayout(first);
  if (all.some((inputs) => inputsLayout(inputs) !== layout)) {
    const outputs: Latent[] = [];
    for (const inputs of all) {
      throwIfAborted(signal);
      outputs.push(await network(inputs, signal));
    }
    return outputs;
  }
  const output = await network(joinInputs(all), signal);
  const items = first.x.shape[0] as number;
  return all.map((_, i) => takeBatch(output, i * items, (i + 1) * items));
}

/** u + scale (c - u), rounded at every operation as in float32 PyTorch. */
export function guide(unconditional: Latent, conditional: Latent, scale: number): Latent {
  const u = unconditional.data;
  const c = conditional.data;
  const factor = Math.fround(scale);
  const data = new Float32Array(c.length);
  for (let i = 0; i < c.length; i++)
    data[i] = (u[i] as number) + Math.fround(factor * Math.fround((c[i] as number) - (u[i] as number)));
  return { ...conditional, data };
}

/** u + text (c - image) + picture (image - u), of InstructPix2Pix. */
export function guideByImage(
  unconditional: Latent,
  image: Latent,
  conditional: Latent,
  textScale: number,
  imageScale: number,
): Latent {
  const data = new Float32Array(conditional.data.length);
  for (let i = 0; i < data.length; i++) {
    const [u, m, c] = [unconditional.data[i], image.data[i], conditional.data[i]] as [number, number, number];
    data[i] =
      Math.fround(u + Math.fround(textScale * Math.fround(c - m))) + Math.fround(imageScale * Math.fround(m - u));
  }
  return { ...conditional, data };
}

/** Standard deviation (with n - 1, as torch.std). */
function deviation(values: Float32Array): number {
  let mean = 0;
  for (const value of values) mean += value;
  mean /= values.length;
  let sum = 0;
  for (const value of values) sum += (value - mean) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}

/** Brings each item's standard deviation back towards the conditional output's, by the share `amount`. */
export function rescaleGuided(guided: Latent, conditional: Latent, amount: number): Latent {
  const size = guided.data.length / (guided.shape[0] ?? 1);
  const data = guided.data.slice();
  for (let start = 0; start < data.length; start += size) {
    const own = deviation(guided.data.subarray(start, start + size));
    if (own === 0) continue;
    const factor = amount * (deviation(conditional.data.subarray(start, start + size)) / own) + (1 - amount);
    for (let i = start; i < start + size; i++) data[i] = (data[i] as number) * factor;
  }
  return { ...guided, data };
}

/** The guided model of a network that learned its variance: that of the pass with the prompt. */
function learnedModel(options: GuidedModelOptions): DiffusionModel {
  const { network: whole, learnsVariance: _, ...own } = options;
  let variance: Latent | undefined;
  const network: Network = async (inputs, signal) => {
    const halves = learnedHalves(await whole(inputs, signal));
    variance = halves.variance;
    return halves.prediction;
  };
  const model = guidedModel({ ...own, network });
  return {
    ...model,
    async predictLearned(x, timestep, signal) {
      const prediction = await model.predict(x, timestep, signal);
      const [all = 0] = variance?.shape ?? [];
      const items = x.shape[0] as number;
      // The pass with the prompt is the last one.
      return { prediction, variance: takeBatch(variance as Latent, all - items, all) };
    },
  };
}

/** The guided model. Throws `invalid-argument` for a scale that is not a number, `shape-mismatch` at a call whose batch a condition does not fit. */
export function guidedModel(options: GuidedModelOptions): DiffusionModel {
  const {
    network,
    schedule,
    parameterization,
    condition,
    unconditional,
    scale = 1,
    imageScale,
    imageUnconditional,
    rescale = 0,
    terms = [],
  } = options;
  if (options.learnsVariance) return learnedModel(options);
  const withTerms = async (guided: Latent, call: Omit<GuidanceCall, 'network' | 'schedule' | 'parameterization'>) => {
    let value = guided;
    for (const term of terms) value = await term(value, { network, schedule, parameterization, ...call });
    return value;
  };
  for (const [name, value] of [
    ['guidance scale', scale],
    ['image guidance scale', imageScale ?? 1],
    ['guidance rescale', rescale],
  ] as const) {
    if (!Number.isFinite(value))
      throw new StableDiffusionError('invalid-argument', `The ${name} is ${value}; it must be a finite number.`);
  }
  const predictParts =
    unconditional && imageScale === undefined
      ? async (x: Latent, timestep: number, signal?: AbortSignal): Promise<PredictedParts> => {
          throwIfAborted(signal);
          const all = [denoiserInputs(x, timestep, unconditional), denoiserInputs(x, timestep, condition)];
          const [u, c] = (await runAll(network, all, signal)) as [Latent, Latent];
          const guided = await withTerms(guide(u, c, scale), {
            x,
            timestep,
            conditional: all[1] as DenoiserInputs,
            prompted: c,
            unconditional: all[0],
            negative: u,
            signal,
          });
          return { guided: rescale > 0 ? rescaleGuided(guided, c, rescale) : guided, unconditional: u };
        }
      : undefined;
  return {
    schedule,
    parameterization,
    predictParts,
    async predict(x, timestep, signal) {
      throwIfAborted(signal);
      const conditional = denoiserInputs(x, timestep, condition);
      if (imageScale !== undefined && imageUnconditional && unconditional) {
        // The order of the original: text and image, image alone, neither.
        const all = [
          conditional,
          denoiserInputs(x, timestep, unconditional),
          denoiserInputs(x, timestep, imageUnconditional),
        ];
        const [c, m, u] = (await runAll(network, all, signal)) as [Latent, Latent, Latent];
        const guided = guideByImage(u, m, c, scale, imageScale);
        return rescale > 0 ? rescaleGuided(guided, c, rescale) : guided;
      }
      if (!predictParts || scale === 1) {
        const prompted = await network(conditional, signal);
        return withTerms(prompted, { x, timestep, conditional, prompted, signal });
      }
      return (await predictParts(x, timestep, signal)).guided;
    },
  };
}
