/**
 * A Gaussian diffusion process with a network: what it predicts of the mean and the variance of a step (guided-diffusion's GaussianDiffusion,
 * `p_mean_variance` and its parts). Batches may have one timestep per picture.
 */

import type { Tensor } from '../../tensor/tensor.ts';
import { StableDiffusionError } from '../../errors.ts';
import { admBetas, type GaussianTables, spacedTables } from './gaussian-tables.ts';

export type Pixels = Tensor<'float32'>;

/** The network's prediction of the mean. */
export type MeanType = 'epsilon' | 'start_x' | 'previous_x' | 'velocity';

/** The variance of a step: the posterior's, the process's, or predicted by additional channels of the network: its logarithm, or an interpolation between the two. */
export type VarianceType = 'fixed_small' | 'fixed_large' | 'learned' | 'learned_range';

export interface GaussianProcess {
  readonly tables: GaussianTables;
  /** The timestep that the network gets at each step, ascending. */
  readonly told: readonly number[];
  readonly mean: MeanType;
  readonly variance: VarianceType;
}

export interface GaussianProcessOptions {
  /** T of the training. Default 1000. */
  readonly timesteps?: number;
  /** Default `linear`. */
  readonly schedule?: 'linear' | 'cosine';
  /** Floor of the posterior's variance in its logarithm, as denoising-diffusion-pytorch has it (1e-20). Default: the first equals the second. */
  readonly smallestVariance?: number | undefined;
  /** Betas in place of a schedule. */
  readonly betas?: Float64Array;
  /** The timesteps to keep: `spacedSections`, or a list. Default: all. */
  readonly respacing?: string | readonly number[];
  /** Scale the network's timesteps to 1000 for any T. Default false. */
  readonly rescaleTimesteps?: boolean;
  /** Default `epsilon`. */
  readonly mean?: MeanType;
  /** Default `fixed_large`. */
  readonly variance?: VarianceType;
}

export function gaussianProcess(options: GaussianProcessOptions = {}): GaussianProcess {
  const { timesteps = 1000, schedule = 'linear', respacing = '', rescaleTimesteps = false } = options;
  const betas = options.betas ?? admBetas(schedule, timesteps);
  const { tables, timestepMap } = spacedTables(betas, respacing, options.smallestVariance);
  return {
    tables,
    told: timestepMap.map((t) => (rescaleTimesteps ? Math.fround(t * (1000 / betas.length)) : t)),
    mean: options.mean ?? 'epsilon',
    variance: options.variance ?? 'fixed_large',
  };
}

/** Steps of the process. */
export const stepsOf = ({ tables }: GaussianProcess): number => tables.betas.length;

/** A network: x_t and the timestep of each picture to an output with as many channels, or twice as many with a learned variance. */
export type GaussianNetwork = (x: Pixels, told: readonly number[], signal?: AbortSignal) => Promise<Pixels>;

/** A new tensor from each element of others of the same shape; `item` is its picture in the batch. */
export function mapPixels(like: Pixels, value: (index: number, item: number) => number): Pixels {
  const size = like.data.length / (like.shape[0] ?? 1);
  return { ...like, data: Float32Array.from(like.data, (_, i) => value(i, Math.floor(i / size))) };
}

/** A table's entry as the original takes it: in float32. */
const entry = (table: Float64Array, t: number): number => Math.fround(table[t] as number);

const rootOf = (table: Float64Array, t: number): number => Math.fround(Math.sqrt(table[t] as number));

/** 1 / sqrt(alphas_cumprod), and sqrt(1 / alphas_cumprod - 1). */
const recip = ({ alphasCumprod }: GaussianTables, t: number): number =>
  Math.fround(Math.sqrt(1 / (alphasCumprod[t] as number)));
const recipM1 = ({ alphasCumprod }: GaussianTables, t: number): number =>
  Math.fround(Math.sqrt(1 / (alphasCumprod[t] as number) - 1));

type Steps = readonly number[];

/** x_t of x_0 and noise. */
export function qSampleAt({ tables }: GaussianProcess, x0: Pixels, noise: Pixels, t: Steps): Pixels {
  const parts = t.map((step) => [
    rootOf(tables.alphasCumprod, step),
    Math.fround(Math.sqrt(1 - (tables.alphasCumprod[step] as number))),
  ]);
  return mapPixels(x0, (i, item) => {
    const [a, s] = parts[item] as [number, number];
    return a * (x0.data[i] as number) + s * (noise.data[i] as number);
  });
}

/** Mean, variance and its logarithm of q(x_t | x_0). */
export function qMeanVariance({ tables }: GaussianProcess, x0: Pixels, t: Steps) {
  const bar = (item: number): number => tables.alphasCumprod[t[item] ?? 0] as number;
  return {
    mean: mapPixels(x0, (i, item) => Math.fround(Math.sqrt(bar(item))) * (x0.data[i] as number)),
    variance: mapPixels(x0, (_, item) => 1 - bar(item)),
    logVariance: mapPixels(x0, (_, item) => Math.log(1 - bar(item))),
  };
}

/** Mean, variance and clipped logarithm of q(x_{t-1} | x_t, x_0). */
export function qPosterior({ tables }: GaussianProcess, x0: Pixels, x: Pixels, t: Steps) {
  return {
    mean: mapPixels(x, (i, item) => {
      const step = t[item] ?? 0;
      return (
        entry(tables.posteriorMeanCoef1, step) * (x0.data[i] as number) +
        entry(tables.posteriorMeanCoef2, step) * (x.data[i] as number)
      );
    }),
    variance: mapPixels(x, (_, item) => tables.posteriorVariance[t[item] ?? 0] as number),
    logVariance: mapPixels(x, (_, item) => tables.posteriorLogVarianceClipped[t[item] ?? 0] as number),
  };
}

export const x0FromEps = ({ tables }: GaussianProcess, x: Pixels, eps: Pixels, t: Steps): Pixels =>
  mapPixels(
    x,
    (i, item) =>
      recip(tables, t[item] ?? 0) * (x.data[i] as number) - recipM1(tables, t[item] ?? 0) * (eps.data[i] as number),
  );

export const epsFromX0 = ({ tables }: GaussianProcess, x: Pixels, x0: Pixels, t: Steps): Pixels =>
  mapPixels(
    x,
    (i, item) =>
      (recip(tables, t[item] ?? 0) * (x.data[i] as number) - (x0.data[i] as number)) / recipM1(tables, t[item] ?? 0),
  );

/** v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans and Ho 2022). */
export const x0FromVelocity = ({ tables }: GaussianProcess, x: Pixels, velocity: Pixels, t: Steps): Pixels =>
  mapPixels(x, (i, item) => {
    const bar = tables.alphasCumprod[t[item] ?? 0] as number;
    return (
      Math.fround(Math.sqrt(bar)) * (x.data[i] as number) -
      Math.fround(Math.sqrt(1 - bar)) * (velocity.data[i] as number)
    );
  });

export const x0FromPrevious = ({ tables }: GaussianProcess, x: Pixels, previous: Pixels, t: Steps): Pixels =>
  mapPixels(x, (i, item) => {
    const step = t[item] ?? 0;
    const [first, second] = [tables.posteriorMeanCoef1[step] as number, tables.posteriorMeanCoef2[step] as number];
    return Math.fround(1 / first) * (previous.data[i] as number) - Math.fround(second / first) * (x.data[i] as number);
  });

/** The network's output as the part for the mean and that for the variance, which is undefined where it is not learned. Throws `shape-mismatch`. */
export function splitOutput(
  { variance }: GaussianProcess,
  output: Pixels,
  x: Pixels,
): { readonly mean: Pixels; readonly variance: Pixels | undefined } {
  const isLearned = variance === 'learned' || variance === 'learned_range';
  const [items = 1, channels = 1] = x.shape;
  const wanted = isLearned ? 2 * channels : channels;
  if (output.shape[1] !== wanted || output.shape[0] !== items)
    throw new StableDiffusionError(
      'shape-mismatch',
      `The network returned [${output.shape.join(', ')}]; with the variance ${variance} it must have ${wanted} channels.`,
    );
  if (!isLearned) return { mean: output, variance: undefined };
  const size = x.data.length / items;
  const half = (which: number): Pixels => mapPixels(x, (i, item) => output.data[i + (item + which) * size] as number);
  return { mean: half(0), variance: half(1) };
}

export interface MeanVarianceOptions {
  /** Clips the guess of the clean picture to [-1, 1]. Default true. */
  readonly clip?: boolean | undefined;
  /** Changes the guess before it is clipped. */
  readonly denoised?: ((x0: Pixels) => Pixels) | undefined;
}

export interface MeanVariance {
  readonly mean: Pixels;
  readonly variance: Pixels;
  readonly logVariance: Pixels;
  readonly x0: Pixels;
}

/** The distribution of x_{t-1} given a network's output at x. */
export function meanVariance(
  process: GaussianProcess,
  output: Pixels,
  x: Pixels,
  t: Steps,
  options: MeanVarianceOptions = {},
): MeanVariance {
  const split = splitOutput(process, output, x);
  const logVariance = logVarianceOf(process, split.variance, x, t);
  const guess = {
    epsilon: () => x0FromEps(process, x, split.mean, t),
    start_x: () => split.mean,
    velocity: () => x0FromVelocity(process, x, split.mean, t),
    previous_x: () => x0FromPrevious(process, x, split.mean, t),
  }[process.mean]();
  const revised = options.denoised?.(guess) ?? guess;
  const x0 =
    (options.clip ?? true) ? mapPixels(revised, (i) => Math.min(Math.max(revised.data[i] ?? 0, -1), 1)) : revised;
  return {
    mean: process.mean === 'previous_x' ? split.mean : qPosterior(process, x0, x, t).mean,
    variance: varianceOf(process, logVariance, x, t),
    logVariance,
    x0,
  };
}

function logVarianceOf({ tables, variance }: GaussianProcess, said: Pixels | undefined, x: Pixels, t: Steps): Pixels {
  const { posteriorLogVarianceClipped: least, betas, fixedLargeVariance } = tables;
  if (!said) {
    const table = variance === 'fixed_large' ? fixedLargeVariance.map(Math.log) : least;
    return mapPixels(x, (_, item) => table[t[item] ?? 0] as number);
  }
  if (variance === 'learned') return said;
  return mapPixels(x, (i, item) => {
    const step = t[item] ?? 0;
    const share = ((said.data[i] as number) + 1) / 2;
    return share * Math.fround(Math.log(betas[step] as number)) + (1 - share) * entry(least, step);
  });
}

function varianceOf({ tables, variance }: GaussianProcess, logVariance: Pixels, x: Pixels, t: Steps): Pixels {
  if (variance === 'learned' || variance === 'learned_range')
    return mapPixels(x, (i) => Math.exp(logVariance.data[i] as number));
  const table = variance === 'fixed_large' ? tables.fixedLargeVariance : tables.posteriorVariance;
  return mapPixels(x, (_, item) => table[t[item] ?? 0] as number);
}
