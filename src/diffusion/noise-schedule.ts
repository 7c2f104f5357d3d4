/**
 * NoiseSchedule: how much noise a model saw at each timestep of its training, as samplers need it.
 *
 * A table alphas_cumprod[t], t = 0 … T-1, rounded to float32 as the originals' buffers are, and the same as Karras's sigma =
 * sqrt((1 - alphas_cumprod) / alphas_cumprod). Between whole timesteps log sigma is linear (k-diffusion's DiscreteSchedule).
 */

import { StableDiffusionError } from '../errors.ts';
import type { Parameterization } from './objective.ts';
import { type BetaOptions, type BetaScheduleName, betaSchedule } from './beta-schedule.ts';

export interface NoiseSchedule {
  /** T: number of timesteps the model was trained with. */
  readonly trainTimesteps: number;
  /** float64 [T]: the variances beta_t that the table was made from. */
  readonly betas: Float64Array;
  /** float32 [T], descending. The last may be 0 (zero terminal SNR). */
  readonly alphasCumprod: Float32Array;
  /** Weight of beta against beta-tilde in the posterior variance of ancestral sampling (CompVis's `v_posterior`). Default 0. */
  readonly vPosterior?: number | undefined;
  /** float32 [T], ascending; and their natural logarithms. */
  readonly sigmas: Float32Array;
  readonly logSigmas: Float32Array;
  /** alphas_cumprod at a timestep, which may lie between two. Clamped to the table's ends. */
  alphaBarAt(timestep: number): number;
  /** sigma at a timestep, which may lie between two. Clamped to the table's ends. */
  sigmaOfTimestep(timestep: number): number;
  /** The timestep of a sigma, between two or, quantised, the nearest. Clamped to 0 … T-1. */
  timestepOfSigma(sigma: number, quantize?: boolean): number;
}

/**
 * The schedule of a table of alphas_cumprod: float32 [T], descending, in [0, 1). `betas` and the levels are worked out from it where they are
 * not given; logarithms are those of the levels before they are rounded to float32.
 */
export function noiseSchedule(
  alphasCumprod: Float32Array,
  betas?: Float64Array,
  levels: Float32Array | Float64Array = alphasCumprod.map((alphaBar) =>
    Math.sqrt(Math.fround(Math.fround(1 - alphaBar) / alphaBar)),
  ),
): NoiseSchedule {
  const count = alphasCumprod.length;
  const sigmas = Float32Array.from(levels);
  const logSigmas = Float32Array.from(levels, Math.log);
  const at = (table: Float32Array, index: number) => table[index] as number;

  /** The last entry of logSigmas that is at most `value`, or 0; never the very last one, so that there is one above it. */
  function indexBelow(value: number): number {
    let low = 0;
    let high = count - 1;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (at(logSigmas, middle) <= value) low = middle;
      else high = middle;
    }
    return low;
  }

  function sigmaOfTimestep(timestep: number): number {
    const t = Math.min(Math.max(timestep, 0), count - 1);
    const low = Math.floor(t);
    const weight = t - low;
    return weight === 0
      ? at(sigmas, low)
      : Math.exp((1 - weight) * at(logSigmas, low) + weight * at(logSigmas, low + 1));
  }

  return {
    trainTimesteps: count,
    betas:
      betas ??
      Float64Array.from(alphasCumprod, (alphaBar, t) => 1 - alphaBar / (t === 0 ? 1 : at(alphasCumprod, t - 1))),
    alphasCumprod,
    sigmas,
    logSigmas,
    sigmaOfTimestep,
    alphaBarAt(timestep) {
      const t = Math.min(Math.max(timestep, 0), count - 1);
      return Number.isInteger(t) ? at(alphasCumprod, t) : 1 / (1 + sigmaOfTimestep(t) ** 2);
    },
    timestepOfSigma(sigma, quantize = false) {
      if (sigma >= at(sigmas, count - 1)) return count - 1;
      if (sigma <= at(sigmas, 0)) return 0;
      const logSigma = Math.log(sigma);
      const low = indexBelow(logSigma);
      const below = logSigma - at(logSigmas, low);
      const above = at(logSigmas, low + 1) - logSigma;
      if (quantize) return below <= above ? low : low + 1;
      return low + Math.min(Math.max(below / (below + above), 0), 1);
    },
  };
}

/** The schedule of a table of sigmas, float32 [T], ascending: for levels so low that alphas_cumprod would not hold them. */
export function noiseScheduleOfSigmas(sigmas: Float32Array): NoiseSchedule {
  return noiseSchedule(
    sigmas.map((sigma) => 1 / (1 + sigma * sigma)),
    undefined,
    sigmas,
  );
}

/** The nearest level of the table to a sigma, by their difference, and its timestep (sgm's `possibly_quantize_sigma`). */
export function tableLevel(
  { sigmas }: NoiseSchedule,
  sigma: number,
): { readonly sigma: number; readonly timestep: number } {
  let timestep = 0;
  for (const [i, level] of sigmas.entries())
    if (Math.abs(level - sigma) < Math.abs((sigmas[timestep] as number) - sigma)) timestep = i;
  return { sigma: sigmas[timestep] as number, timestep };
}

export interface NoiseScheduleConfig extends BetaOptions {
  /** Default `linear`. */
  readonly betaSchedule?: BetaScheduleName;
  /** T. Default 1000. */
  readonly timesteps?: number;
}

/** alphas_cumprod in float64, as numpy.cumprod(1 - betas). */
export function alphasCumprodOf(betas: Float64Array): Float64Array {
  let product = 1;
  return betas.map((beta) => {
    product *= 1 - beta;
    return product;
  });
}

/** The schedule of a CompVis configuration (`linear_start`, `linear_end`, …), or of its `given_betas`. */
export function noiseScheduleOf(config: NoiseScheduleConfig | Float64Array): NoiseSchedule {
  const betas =
    config instanceof Float64Array
      ? config
      : betaSchedule(config.betaSchedule ?? 'linear', config.timesteps ?? 1000, config);
  return noiseSchedule(Float32Array.from(alphasCumprodOf(betas)), betas);
}

/** The schedule of Stable Diffusion v1: `linear`, 1000 steps, 0.00085 to 0.012. */
export function stableDiffusionSchedule(): NoiseSchedule {
  return noiseScheduleOf({ linearStart: 0.00085, linearEnd: 0.012 });
}

/** The buffers of DDPM.register_schedule, float32 [T], by their names; all but `lvlb_weights` are also keys of CompVis checkpoints. */
export interface DdpmBuffers {
  readonly betas: Float32Array;
  readonly alphas_cumprod: Float32Array;
  readonly alphas_cumprod_prev: Float32Array;
  readonly sqrt_alphas_cumprod: Float32Array;
  readonly sqrt_one_minus_alphas_cumprod: Float32Array;
  readonly log_one_minus_alphas_cumprod: Float32Array;
  readonly sqrt_recip_alphas_cumprod: Float32Array;
  readonly sqrt_recipm1_alphas_cumprod: Float32Array;
  readonly posterior_variance: Float32Array;
  readonly posterior_log_variance_clipped: Float32Array;
  readonly posterior_mean_coef1: Float32Array;
  readonly posterior_mean_coef2: Float32Array;
  readonly lvlb_weights: Float32Array;
}

export interface DdpmBufferOptions {
  /** Weight of beta against beta-tilde in the posterior variance, 0 … 1. Default 0. */
  readonly vPosterior?: number;
  /** Decides `lvlb_weights`. Default `eps`. */
  readonly parameterization?: Parameterization;
}

/** Computed in float64 and rounded; `lvlb_weights` in float32 from the rounded ones, as there. */
export function ddpmBuffers(betas: Float64Array, options: DdpmBufferOptions = {}): DdpmBuffers {
  const { vPosterior = 0, parameterization = 'eps' } = options;
  if (betas.length < 2)
    throw new StableDiffusionError('config-invalid', `A DDPM has 2 or more timesteps, and ${betas.length} were given.`);
  const count = betas.length;
  const bars = alphasCumprodOf(betas);
  const table = (value: (i: number) => number) => Float32Array.from({ length: count }, (_, i) => value(i));
  const beta = (i: number) => betas[i] as number;
  const bar = (i: number) => (i < 0 ? 1 : (bars[i] as number));
  const variance = (i: number) => ((1 - vPosterior) * beta(i) * (1 - bar(i - 1))) / (1 - bar(i)) + vPosterior * beta(i);
  const posteriorVariance = table(variance);
  const barsFloat32 = table(bar);
  const lvlb = (i: number): number => {
    const rounded = barsFloat32[i] as number;
    if (parameterization === 'v' || parameterization === 'flow') return 1;
    if (parameterization === 'x0') return (0.5 * Math.fround(Math.sqrt(rounded))) / Math.fround(2 - rounded);
    const betaFloat32 = Math.fround(beta(i));
    const divisor = Math.fround(
      Math.fround(2 * (posteriorVariance[i] as number) * Math.fround(1 - beta(i))) * Math.fround(1 - rounded),
    );
    return Math.fround(betaFloat32 * betaFloat32) / divisor;
  };
  return {
    betas: table(beta),
    alphas_cumprod: barsFloat32,
    alphas_cumprod_prev: table((i) => bar(i - 1)),
    sqrt_alphas_cumprod: table((i) => Math.sqrt(bar(i))),
    sqrt_one_minus_alphas_cumprod: table((i) => Math.sqrt(1 - bar(i))),
    log_one_minus_alphas_cumprod: table((i) => Math.log(1 - bar(i))),
    sqrt_recip_alphas_cumprod: table((i) => Math.sqrt(1 / bar(i))),
    sqrt_recipm1_alphas_cumprod: table((i) => Math.sqrt(1 / bar(i) - 1)),
    posterior_variance: posteriorVariance,
    posterior_log_variance_clipped: table((i) => Math.log(Math.max(variance(i), 1e-20))),
    posterior_mean_coef1: table((i) => (beta(i) * Math.sqrt(bar(i - 1))) / (1 - bar(i))),
    posterior_mean_coef2: table((i) => ((1 - bar(i - 1)) * Math.sqrt(1 - beta(i))) / (1 - bar(i))),
    lvlb_weights: table((i) => lvlb(Math.max(i, 1))),
  };
}
