/**
 * The tables of a Gaussian diffusion process in float64, as guided-diffusion's GaussianDiffusion and SpacedDiffusion hold them
 * (Dhariwal and Nichol 2021, arXiv 2105.05233; Nichol and Dhariwal 2021, arXiv 2102.09672).
 */

import { StableDiffusionError } from '../../errors.ts';
import { linspace } from '../beta-schedule.ts';
import { alphasCumprodOf } from '../noise-schedule.ts';
import { spacedSections } from './spaced-timesteps.ts';

export interface GaussianTables {
  readonly betas: Float64Array;
  readonly alphasCumprod: Float64Array;
  /** One step nearer to the picture; 1 before the first. */
  readonly alphasCumprodPrev: Float64Array;
  /** One step nearer to the noise; 0 after the last. */
  readonly alphasCumprodNext: Float64Array;
  readonly posteriorVariance: Float64Array;
  /** The first value is copied from the second, because the posterior's variance is 0 at the start. */
  readonly posteriorLogVarianceClipped: Float64Array;
  readonly posteriorMeanCoef1: Float64Array;
  readonly posteriorMeanCoef2: Float64Array;
  /** Variance of a step where it is the process's own, but the posterior's at the first. */
  readonly fixedLargeVariance: Float64Array;
}

/** guided-diffusion's schedules: `linear` is scaled so that any number of timesteps ends at the same noise. Throws `invalid-argument`. */
export function admBetas(schedule: 'linear' | 'cosine', timesteps: number): Float64Array {
  if (schedule === 'linear') return linspace(0.1 / timesteps, 20 / timesteps, timesteps);
  const bar = (t: number): number => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float64Array.from({ length: timesteps }, (_, i) =>
    Math.min(1 - bar((i + 1) / timesteps) / bar(i / timesteps), 0.999),
  );
}

/** `smallestVariance`: a floor of the posterior's variance in its logarithm, in place of the second's for the first. */
export function gaussianTables(betas: Float64Array, smallestVariance?: number): GaussianTables {
  const wrong = betas.find((beta) => !(beta > 0 && beta <= 1));
  if (betas.length < 1 || wrong !== undefined)
    throw new StableDiffusionError(
      'config-invalid',
      `The ${betas.length} betas of a diffusion process must lie above 0 and at most at 1${wrong === undefined ? '' : `; one is ${Number(wrong.toPrecision(4))}`}. Give the process at least one step; guided-diffusion's linear schedule needs 20.`,
    );
  const bars = alphasCumprodOf(betas);
  const at = (i: number): number => (i < 0 ? 1 : i >= bars.length ? 0 : (bars[i] as number));
  const table = (value: (i: number, beta: number) => number): Float64Array => betas.map((beta, i) => value(i, beta));
  const posteriorVariance = table((i, beta) => (beta * (1 - at(i - 1))) / (1 - at(i)));
  const second = posteriorVariance[Math.min(1, betas.length - 1)] as number;
  return {
    betas,
    alphasCumprod: bars,
    alphasCumprodPrev: table((i) => at(i - 1)),
    alphasCumprodNext: table((i) => at(i + 1)),
    posteriorVariance,
    posteriorLogVarianceClipped: posteriorVariance.map((variance, i) =>
      Math.log(smallestVariance === undefined ? (i === 0 ? second : variance) : Math.max(variance, smallestVariance)),
    ),
    posteriorMeanCoef1: table((i, beta) => (beta * Math.sqrt(at(i - 1))) / (1 - at(i))),
    posteriorMeanCoef2: table((i, beta) => ((1 - at(i - 1)) * Math.sqrt(1 - beta)) / (1 - at(i))),
    fixedLargeVariance: table((i, beta) => (i === 0 ? second : beta)),
  };
}

export interface SpacedTables {
  readonly tables: GaussianTables;
  /** Ascending: what the network was trained with, of each step of the shorter process. */
  readonly timestepMap: readonly number[];
}

/** The process over some of the timesteps: its betas are those between the kept values of alphas_cumprod. */
export function spacedTables(
  betas: Float64Array,
  respacing: string | readonly number[],
  smallestVariance?: number,
): SpacedTables {
  const timestepMap =
    typeof respacing === 'string'
      ? spacedSections(betas.length, respacing)
      : [...new Set(respacing)].sort((a, b) => a - b);
  if (timestepMap.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `The timesteps ${JSON.stringify(respacing)} keep none of ${betas.length}. Keep at least one.`,
    );
  const outside = timestepMap.find((t) => !Number.isInteger(t) || t < 0 || t >= betas.length);
  if (outside !== undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `Timesteps must be between 0 and ${betas.length - 1}, got ${outside}.`,
    );
  const bars = alphasCumprodOf(betas);
  const kept = timestepMap.map((t) => bars[t] as number);
  return {
    tables: gaussianTables(
      Float64Array.from(kept, (bar, i) => 1 - bar / (i === 0 ? 1 : (kept[i - 1] as number))),
      smallestVariance,
    ),
    timestepMap,
  };
}
