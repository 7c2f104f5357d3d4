/** The variational bound of pictures under a model, in bits per pixel and channel, term by term (guided-diffusion's `calc_bpd_loop`, `scripts/image_nll.py`). */

import { throwIfAborted } from '../../errors.ts';
import { discretizedLogLikelihood, normalKl } from './likelihood.ts';
import {
  epsFromX0,
  type GaussianNetwork,
  type GaussianProcess,
  meanVariance,
  type MeanVarianceOptions,
  type Pixels,
  qMeanVariance,
  qPosterior,
  qSampleAt,
  stepsOf,
} from './gaussian-process.ts';

export interface BitsPerDimension {
  /** The whole bound of each picture. */
  readonly total: readonly number[];
  /** The term of the final noise. */
  readonly prior: readonly number[];
  /** By picture, and of each its steps from the noisiest: the bound's terms, the errors of the clean picture and of the noise. */
  readonly vb: readonly (readonly number[])[];
  readonly x0Error: readonly (readonly number[])[];
  readonly epsError: readonly (readonly number[])[];
}

/** Mean over each picture of a value of its elements. */
function meansOf(like: Pixels, value: (i: number) => number): number[] {
  const items = like.shape[0] ?? 1;
  const size = like.data.length / items;
  return Array.from({ length: items }, (_, item) => {
    let sum = 0;
    for (let i = item * size; i < (item + 1) * size; i++) sum += value(i);
    return sum / size;
  });
}

/** The bound's term at a step for each picture, in bits, and the guess it came from. */
export function boundTerm(
  process: GaussianProcess,
  output: Pixels,
  x0: Pixels,
  x: Pixels,
  t: readonly number[],
  options: MeanVarianceOptions = {},
): { readonly bits: readonly number[]; readonly x0: Pixels } {
  const truth = qPosterior(process, x0, x, t);
  const made = meanVariance(process, output, x, t, options);
  const size = x.data.length / (x.shape[0] ?? 1);
  const bits = meansOf(x, (i) => {
    const [mean, logVariance] = [made.mean.data[i] as number, made.logVariance.data[i] as number];
    const nats =
      t[Math.floor(i / size)] === 0
        ? -discretizedLogLikelihood(x0.data[i] as number, mean, 0.5 * logVariance)
        : normalKl(truth.mean.data[i] as number, truth.logVariance.data[i] as number, mean, logVariance);
    return nats / Math.LN2;
  });
  return { bits, x0: made.x0 };
}

/** `pictures` in [-1, 1]; `noise` is drawn once for each step, the noisiest first. */
export async function bitsPerDimension(
  process: GaussianProcess,
  network: GaussianNetwork,
  pictures: Pixels,
  options: MeanVarianceOptions & { readonly noise: () => Pixels; readonly signal?: AbortSignal },
): Promise<BitsPerDimension> {
  const items = pictures.shape[0] ?? 1;
  const rows = (): number[][] => Array.from({ length: items }, () => []);
  const [vb, x0Error, epsError] = [rows(), rows(), rows()];
  const push = (to: number[][], values: readonly number[]): void => {
    for (const [item, value] of values.entries()) to[item]?.push(value);
  };
  for (let step = stepsOf(process) - 1; step >= 0; step--) {
    throwIfAborted(options.signal);
    const t = new Array<number>(items).fill(step);
    const noise = options.noise();
    const x = qSampleAt(process, pictures, noise, t);
    const output = await network(
      x,
      t.map((at) => process.told[at] as number),
      options.signal,
    );
    const term = boundTerm(process, output, pictures, x, t, options);
    push(vb, term.bits);
    push(
      x0Error,
      meansOf(x, (i) => ((term.x0.data[i] as number) - (pictures.data[i] as number)) ** 2),
    );
    const eps = epsFromX0(process, x, term.x0, t);
    push(
      epsError,
      meansOf(x, (i) => ((eps.data[i] as number) - (noise.data[i] as number)) ** 2),
    );
  }
  const last = qMeanVariance(process, pictures, new Array<number>(items).fill(stepsOf(process) - 1));
  const prior = meansOf(
    pictures,
    (i) => normalKl(last.mean.data[i] as number, last.logVariance.data[i] as number, 0, 0) / Math.LN2,
  );
  const total = vb.map((terms, item) => terms.reduce((sum, bits) => sum + bits, prior[item] as number));
  return { total, prior, vb, x0Error, epsError };
}
