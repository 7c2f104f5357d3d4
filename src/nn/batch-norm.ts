/** Batch normalisation (Ioffe & Szegedy 2015; `torch.nn.BatchNorm2d`), as the patch discriminator has it: with the batch's statistics, or with running ones. */

import { productOfDims } from '../graph/dim.ts';
import {
  add,
  dimension,
  div,
  mean,
  mul,
  rankMean,
  reciprocal,
  reshape,
  sqrt,
  stopGradient,
  sub,
} from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';

/** Running statistics of each channel, [c]. */
export interface BatchStatistics {
  readonly mean: Sym;
  readonly variance: Sym;
}

function normalise(x: Sym, { mean: centre, variance }: BatchStatistics, weight: Sym, bias: Sym, epsilon: number): Sym {
  const channel = (value: Sym): Sym => reshape(value, [1, -1, 1, 1]);
  const scale = mul(reciprocal(sqrt(add(variance, epsilon))), weight);
  return add(mul(sub(x, channel(centre)), channel(scale)), channel(bias));
}

/**
 * x [b, c, h, w] normalised with its own mean and variance over batch and image (`train()` mode).
 * `updated` are the running statistics after this batch: 0.9 · old + 0.1 · new, the new variance unbiased. With `ranks` above 1 the
 * statistics are those of the batches of so many ranks, as `torch.nn.SyncBatchNorm`'s.
 */
export function batchNorm(
  x: Sym,
  weight: Sym,
  bias: Sym,
  options: { readonly epsilon: number; readonly running?: BatchStatistics; readonly ranks?: number },
): { readonly y: Sym; readonly updated?: BatchStatistics } {
  const [b = 1, , h = 1, w = 1] = x.shape;
  const { ranks = 1 } = options;
  const ofAll = (value: Sym): Sym => (ranks > 1 ? rankMean(value) : value);
  const centre = ofAll(mean(x, [0, 2, 3]));
  const difference = sub(x, reshape(centre, [1, -1, 1, 1]));
  const variance = ofAll(mean(mul(difference, difference), [0, 2, 3]));
  const y = normalise(x, { mean: centre, variance }, weight, bias, options.epsilon);
  if (!options.running) return { y };
  const count = dimension(x, productOfDims([ranks, b, h, w]));
  const unbiased = div(mul(variance, count), sub(count, 1));
  const blend = (old: Sym, fresh: Sym): Sym => stopGradient(add(mul(old, 0.9), mul(fresh, 0.1)));
  return {
    y,
    updated: { mean: blend(options.running.mean, centre), variance: blend(options.running.variance, unbiased) },
  };
}

/** x [b, c, h, w] normalised with running statistics (`eval()` mode). */
export function batchNormFixed(x: Sym, running: BatchStatistics, weight: Sym, bias: Sym, epsilon: number): Sym {
  return normalise(x, running, weight, bias, epsilon);
}
