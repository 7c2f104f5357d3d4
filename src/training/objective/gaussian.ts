/**
 * Losses of a Gaussian process as graphs (guided-diffusion's `training_losses`): the mean squared error, with the variational bound where the
 * variance is learned, or the bound alone (Nichol and Dhariwal 2021, arXiv 2102.09672, section 3.1). Terms are for each picture.
 */

import type { GaussianProcess } from '../../diffusion/gaussian/gaussian-process.ts';
import { StableDiffusionError } from '../../errors.ts';
import {
  add,
  clamp,
  constant,
  div,
  equal,
  exp,
  gather,
  less,
  log,
  maximum,
  mean,
  mul,
  reshape,
  scalar,
  slice,
  stopGradient,
  sub,
  where,
} from '../../graph/functions.ts';
import type { Sym } from '../../graph/trace.ts';
import { float32 } from '../../tensor/tensor.ts';

/** `rescaled_mse` weighs the bound by T / 1000, `rescaled_kl` by T. */
export type GaussianLossType = 'mse' | 'rescaled_mse' | 'kl' | 'rescaled_kl';

export interface GaussianLossInputs {
  /** Pictures [b, c, h, w] in [-1, 1]. */
  readonly x0: Sym;
  /** Standard normal, of the same shape. */
  readonly noise: Sym;
  /** Steps of the process, int64 [b]. */
  readonly t: Sym;
}

/** Each [b]. */
export interface GaussianLossTerms {
  readonly loss: Sym;
  readonly mse?: Sym;
  readonly vb?: Sym;
}

/** x_t of the inputs, which the network is run on. */
export function noisyPictures(process: GaussianProcess, { x0, noise, t }: GaussianLossInputs): Sym {
  const { alphasCumprod } = process.tables;
  return add(
    mul(x0, at(alphasCumprod.map(Math.sqrt), t)),
    mul(
      noise,
      at(
        alphasCumprod.map((bar) => Math.sqrt(1 - bar)),
        t,
      ),
    ),
  );
}

/** The network's timesteps at each step, float32 [b]. */
export function toldTimesteps({ told }: GaussianProcess, t: Sym): Sym {
  return gather(constant(t, float32([told.length], Float32Array.from(told))), t);
}

/** A table's entries at the steps, [b, 1, 1, 1]. */
function at(table: Float64Array, t: Sym): Sym {
  const entries = gather(constant(t, float32([table.length], Float32Array.from(table))), t);
  return reshape(entries, [t.shape[0] ?? 1, 1, 1, 1]);
}

const meanFlat = (value: Sym): Sym => mean(value, [1, 2, 3]);
const square = (value: Sym): Sym => mul(value, value);

export interface GaussianLossOptions {
  /** Weight of the bound beside the error. Default 1. */
  readonly boundWeight?: number;
  /** Smallest probability of a pixel. Default 1e-12; denoising-diffusion-pytorch has 1e-15. */
  readonly floor?: number;
}

/** The terms for what the network said of the noisy pictures: `output` has twice the channels where the variance is learned. */
export function gaussianLoss(
  process: GaussianProcess,
  type: GaussianLossType,
  inputs: GaussianLossInputs,
  noisy: Sym,
  output: Sym,
  options: GaussianLossOptions = {},
): GaussianLossTerms {
  const { boundWeight = 1, floor = 1e-12 } = options;
  const steps = process.tables.betas.length;
  const channels = inputs.x0.shape[1];
  if (typeof channels !== 'number')
    throw new StableDiffusionError('invalid-argument', 'The pictures of a loss have a fixed number of channels.');
  const isLearned = process.variance === 'learned' || process.variance === 'learned_range';
  const said = isLearned ? slice(output, 1, 0, channels) : output;
  const variance = isLearned ? slice(output, 1, channels, 2 * channels) : undefined;
  if (type === 'kl' || type === 'rescaled_kl') {
    const bound = boundOf(process, inputs, noisy, said, variance, floor);
    return { loss: type === 'rescaled_kl' ? mul(bound, steps) : bound };
  }
  const target = {
    epsilon: () => inputs.noise,
    start_x: () => inputs.x0,
    previous_x: () => posteriorMean(process, inputs.x0, noisy, inputs.t),
    velocity: () => velocityOf(process, inputs),
  }[process.mean]();
  const mse = meanFlat(square(sub(target, said)));
  if (!variance) return { loss: mse, mse };
  // The bound teaches the variance alone: the mean is a constant to it.
  const bound = boundOf(process, inputs, noisy, stopGradient(said), variance, floor);
  const weight = boundWeight * (type === 'rescaled_mse' ? steps / 1000 : 1);
  const vb = weight === 1 ? bound : mul(bound, weight);
  return { loss: add(mse, vb), mse, vb };
}

const rootBar = ({ tables }: GaussianProcess): Float64Array => tables.alphasCumprod.map(Math.sqrt);
const rootRest = ({ tables }: GaussianProcess): Float64Array => tables.alphasCumprod.map((bar) => Math.sqrt(1 - bar));

const velocityOf = (process: GaussianProcess, { x0, noise, t }: GaussianLossInputs): Sym =>
  sub(mul(noise, at(rootBar(process), t)), mul(x0, at(rootRest(process), t)));

const x0OfVelocity = (process: GaussianProcess, x: Sym, said: Sym, t: Sym): Sym =>
  sub(mul(x, at(rootBar(process), t)), mul(said, at(rootRest(process), t)));

function posteriorMean({ tables }: GaussianProcess, x0: Sym, x: Sym, t: Sym): Sym {
  return add(mul(x0, at(tables.posteriorMeanCoef1, t)), mul(x, at(tables.posteriorMeanCoef2, t)));
}

/** Mean and logarithm of the variance of the network's step, its guess not clipped. */
function stepOf(
  process: GaussianProcess,
  noisy: Sym,
  said: Sym,
  variance: Sym | undefined,
  t: Sym,
): { readonly mean: Sym; readonly logVariance: Sym } {
  const { tables } = process;
  const recip = tables.alphasCumprod.map((bar) => Math.sqrt(1 / bar));
  const recipM1 = tables.alphasCumprod.map((bar) => Math.sqrt(1 / bar - 1));
  const stepMean = {
    epsilon: () => posteriorMean(process, sub(mul(noisy, at(recip, t)), mul(said, at(recipM1, t))), noisy, t),
    start_x: () => posteriorMean(process, said, noisy, t),
    previous_x: () => said,
    velocity: () => posteriorMean(process, x0OfVelocity(process, noisy, said, t), noisy, t),
  }[process.mean]();
  const least = at(tables.posteriorLogVarianceClipped, t);
  if (process.variance === 'fixed_large')
    return { mean: stepMean, logVariance: at(tables.fixedLargeVariance.map(Math.log), t) };
  if (!variance) return { mean: stepMean, logVariance: least };
  if (process.variance === 'learned') return { mean: stepMean, logVariance: variance };
  const share = div(add(variance, 1), 2);
  const most = at(tables.betas.map(Math.log), t);
  return { mean: stepMean, logVariance: add(mul(share, most), mul(sub(1, share), least)) };
}

/** The true mean of the step less the network's. From the parts that differ alone: at the noisiest steps the means are differences of large numbers. */
function meanError(process: GaussianProcess, { x0, noise, t }: GaussianLossInputs, noisy: Sym, said: Sym): Sym {
  const { posteriorMeanCoef1: coefficient, alphasCumprod } = process.tables;
  return {
    epsilon: () =>
      mul(
        sub(said, noise),
        at(
          coefficient.map((c, i) => c * Math.sqrt(1 / (alphasCumprod[i] as number) - 1)),
          t,
        ),
      ),
    start_x: () => mul(sub(x0, said), at(coefficient, t)),
    previous_x: () => sub(posteriorMean(process, x0, noisy, t), said),
    velocity: () => mul(sub(x0, x0OfVelocity(process, noisy, said, t)), at(coefficient, t)),
  }[process.mean]();
}

/** The bound's term in bits: the likelihood of the pictures at the first step, else the divergence from the true step. */
function boundOf(
  process: GaussianProcess,
  { x0, noise, t }: GaussianLossInputs,
  noisy: Sym,
  said: Sym,
  variance: Sym | undefined,
  floor: number,
): Sym {
  const made = stepOf(process, noisy, said, variance, t);
  const difference = meanError(process, { x0, noise, t }, noisy, said);
  const truthLog = at(process.tables.posteriorLogVarianceClipped, t);
  const divergence = meanFlat(
    mul(
      add(
        sub(sub(made.logVariance, truthLog), 1),
        add(exp(sub(truthLog, made.logVariance)), mul(square(difference), exp(mul(made.logVariance, -1)))),
      ),
      0.5,
    ),
  );
  const likelihood = meanFlat(mul(discretizedLogLikelihood(x0, made.mean, mul(made.logVariance, 0.5), floor), -1));
  const isFirst = equal(t, constant(t, { dtype: 'int64', shape: [], data: BigInt64Array.of(0n) }));
  return div(where(isFirst, likelihood, divergence), Math.LN2);
}

/** As `discretizedLogLikelihood` of the diffusion's, element by element. */
function discretizedLogLikelihood(x: Sym, center: Sym, logScale: Sym, least: number): Sym {
  const inverse = exp(mul(logScale, -1));
  const offset = sub(x, center);
  const above = mul(inverse, add(offset, 1 / 255));
  const below = mul(inverse, sub(offset, 1 / 255));
  const floor = (probability: Sym): Sym => log(maximum(probability, scalar(probability, least)));
  // On the side where the probabilities are small, because differences of numbers near 1 have no digits left.
  const inside = where(
    less(scalar(offset, 0), offset),
    sub(cdf(mul(below, -1)), cdf(mul(above, -1))),
    sub(cdf(above), cdf(below)),
  );
  return where(
    less(x, scalar(x, -0.999)),
    floor(cdf(above)),
    where(less(scalar(x, 0.999), x), floor(cdf(mul(below, -1))), floor(inside)),
  );
}

/** (1 + tanh(u)) / 2 as the logistic function of 2 u, which keeps its digits where it is near 0. */
function cdf(x: Sym): Sym {
  const u = mul(add(x, mul(mul(square(x), x), 0.044715)), 2 * Math.sqrt(2 / Math.PI));
  return div(1, add(exp(mul(clamp(u, -80, 80), -1)), 1));
}
