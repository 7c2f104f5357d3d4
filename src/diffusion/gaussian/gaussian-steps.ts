/**
 * Steps of sampling from a Gaussian process: ancestral (DDPM), DDIM and DDIM run backwards, with the gradient of a guide (Dhariwal and Nichol
 * 2021, algorithms 1 and 2). As guided-diffusion's `p_sample`, `ddim_sample`, `ddim_reverse_sample`, `condition_mean`, `condition_score`.
 */

import { throwIfAborted } from '../../errors.ts';
import {
  epsFromX0,
  type GaussianNetwork,
  type GaussianProcess,
  mapPixels,
  type MeanVariance,
  meanVariance,
  type MeanVarianceOptions,
  type Pixels,
  stepsOf,
  x0FromEps,
} from './gaussian-process.ts';

/** The scaled gradient of the guide at x_t; it gets the same timesteps as the network. */
export type GuideGradient = (x: Pixels, told: readonly number[], signal?: AbortSignal) => Promise<Pixels>;

export interface GaussianSamplingOptions extends MeanVarianceOptions {
  /** Default `ddpm`. */
  readonly method?: 'ddpm' | 'ddim';
  /** DDIM: 0 (default) is deterministic. */
  readonly eta?: number;
  /** One draw at every step, also at the last, where it is multiplied by 0. */
  readonly noise: () => Pixels;
  readonly guide?: GuideGradient | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GaussianStep extends MeanVariance {
  /** 1 after the first step. */
  readonly step: number;
  readonly steps: number;
  readonly sample: Pixels;
  readonly told: readonly number[];
  /** The guess after guidance (DDIM); else `x0`. */
  readonly guidedX0: Pixels;
  readonly gradient: Pixels | undefined;
}

interface At {
  readonly process: GaussianProcess;
  readonly x: Pixels;
  readonly t: readonly number[];
}

const bar = (table: Float64Array, t: number): number => Math.fround(table[t] as number);

/** mean + variance · gradient. */
const guidedMean = ({ mean, variance }: MeanVariance, gradient: Pixels | undefined): Pixels =>
  gradient
    ? mapPixels(mean, (i) => (mean.data[i] as number) + (variance.data[i] as number) * (gradient.data[i] as number))
    : mean;

/** x0 from eps - sqrt(1 - alpha_bar) · gradient; it is not clipped again. */
function guidedX0({ process, x, t }: At, x0: Pixels, gradient: Pixels | undefined): Pixels {
  if (!gradient) return x0;
  const eps = epsFromX0(process, x, x0, t);
  const turned = mapPixels(eps, (i, item) => {
    const root = Math.fround(Math.sqrt(1 - bar(process.tables.alphasCumprod, t[item] ?? 0)));
    return (eps.data[i] as number) - root * (gradient.data[i] as number);
  });
  return x0FromEps(process, x, turned, t);
}

function ddpmSample({ x, t }: At, made: MeanVariance, gradient: Pixels | undefined, noise: Pixels): Pixels {
  const mean = guidedMean(made, gradient);
  return mapPixels(x, (i, item) =>
    t[item] === 0
      ? (mean.data[i] as number)
      : (mean.data[i] as number) + Math.exp(0.5 * (made.logVariance.data[i] as number)) * (noise.data[i] as number),
  );
}

function ddimSample(at: At, x0: Pixels, eta: number, noise: Pixels): Pixels {
  const { process, x, t } = at;
  const eps = epsFromX0(process, x, x0, t);
  const { alphasCumprod, alphasCumprodPrev } = process.tables;
  return mapPixels(x, (i, item) => {
    const step = t[item] ?? 0;
    const [now, before] = [bar(alphasCumprod, step), bar(alphasCumprodPrev, step)];
    const sigma = eta * Math.sqrt((1 - before) / (1 - now)) * Math.sqrt(1 - now / before);
    const mean =
      (x0.data[i] as number) * Math.sqrt(before) + Math.sqrt(1 - before - sigma * sigma) * (eps.data[i] as number);
    return step === 0 ? mean : mean + sigma * (noise.data[i] as number);
  });
}

/** Samples from x_T, the noisiest, down to a picture. */
export async function* sampleGaussian(
  process: GaussianProcess,
  network: GaussianNetwork,
  start: Pixels,
  options: GaussianSamplingOptions,
): AsyncGenerator<GaussianStep, Pixels, void> {
  const { method = 'ddpm', eta = 0, noise, guide, signal } = options;
  const steps = stepsOf(process);
  const items = start.shape[0] ?? 1;
  let x = start;
  for (let step = 1; step <= steps; step++) {
    throwIfAborted(signal);
    const at: At = { process, x, t: new Array<number>(items).fill(steps - step) };
    const told = at.t.map((t) => process.told[t] as number);
    const made = meanVariance(process, await network(x, told, signal), x, at.t, options);
    const gradient = guide && (await guide(x, told, signal));
    const draw = noise();
    const turned = method === 'ddim' ? guidedX0(at, made.x0, gradient) : made.x0;
    x = method === 'ddim' ? ddimSample(at, turned, eta, draw) : ddpmSample(at, made, gradient, draw);
    yield { ...made, step, steps, sample: x, told, guidedX0: turned, gradient };
  }
  return x;
}

/** DDIM run backwards: from a picture to the noise that leads to it, up to the step before the last. */
export async function* encodeGaussian(
  process: GaussianProcess,
  network: GaussianNetwork,
  picture: Pixels,
  options: MeanVarianceOptions & { readonly signal?: AbortSignal } = {},
): AsyncGenerator<{ readonly sample: Pixels; readonly x0: Pixels }, Pixels, void> {
  let x = picture;
  for (let t = 0; t < stepsOf(process) - 1; t++) {
    throwIfAborted(options.signal);
    const all = new Array<number>(picture.shape[0] ?? 1).fill(t);
    const told = all.map((step) => process.told[step] as number);
    const { x0 } = meanVariance(process, await network(x, told, options.signal), x, all, options);
    const eps = epsFromX0(process, x, x0, all);
    const next = bar(process.tables.alphasCumprodNext, t);
    x = mapPixels(x, (i) => (x0.data[i] as number) * Math.sqrt(next) + Math.sqrt(1 - next) * (eps.data[i] as number));
    yield { sample: x, x0 };
  }
  return x;
}
