/**
 * EDM: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models" (arXiv 2206.00364): preconditioned networks
 * (table 1), the noise levels, Heun's method with churn (algorithm 2), and the loss. As denoising-diffusion-pytorch's `ElucidatedDiffusion`.
 */

import { throwIfAborted } from '../errors.ts';
import { clamp, linearCombination } from '../tensor/arithmetic.ts';
import { mapPixels, type Pixels } from './gaussian/gaussian-process.ts';

export interface ElucidatedSettings {
  /** Lowest and highest noise level. */
  readonly sigmaMin: number;
  readonly sigmaMax: number;
  /** Standard deviation of the data. */
  readonly sigmaData: number;
  /** Exponent of the schedule. */
  readonly rho: number;
  /** Mean and deviation of the logarithm of training's levels. */
  readonly meanLog: number;
  readonly deviationLog: number;
  readonly sChurn: number;
  readonly sTmin: number;
  readonly sTmax: number;
  readonly sNoise: number;
}

export const elucidatedDefaults: ElucidatedSettings = {
  sigmaMin: 0.002,
  sigmaMax: 80,
  sigmaData: 0.5,
  rho: 7,
  meanLog: -1.2,
  deviationLog: 1.2,
  sChurn: 80,
  sTmin: 0.05,
  sTmax: 50,
  sNoise: 1.003,
};

/** The factors around the network at a noise level. */
export function preconditioning(sigma: number, sigmaData = elucidatedDefaults.sigmaData) {
  const variance = sigma * sigma + sigmaData * sigmaData;
  return {
    skip: (sigmaData * sigmaData) / variance,
    out: (sigma * sigmaData) / Math.sqrt(variance),
    in: 1 / Math.sqrt(variance),
    noise: 0.25 * Math.log(Math.max(sigma, 1e-20)),
  };
}

/** Weight of the squared error at a noise level. */
export const elucidatedWeight = (sigma: number, sigmaData = elucidatedDefaults.sigmaData): number =>
  (sigma * sigma + sigmaData * sigmaData) / (sigma * sigmaData) ** 2;

/** A noise level of training from a standard normal number. */
export const trainingSigma = (normal: number, settings: ElucidatedSettings = elucidatedDefaults): number =>
  Math.exp(settings.meanLog + settings.deviationLog * normal);

/** Descending levels and 0. */
export function elucidatedSigmas(steps: number, settings: ElucidatedSettings = elucidatedDefaults): number[] {
  const [high, low] = [settings.sigmaMax ** (1 / settings.rho), settings.sigmaMin ** (1 / settings.rho)];
  const at = (i: number): number => Math.fround((high + (i / (steps - 1)) * (low - high)) ** settings.rho);
  return [...Array.from({ length: steps }, (_, i) => at(steps === 1 ? 0 : i)), 0];
}

/** The network inside: scaled pictures, c_noise of each, and the guess before, for networks that are conditioned on it. */
export type ElucidatedNetwork = (
  x: Pixels,
  noise: readonly number[],
  before: Pixels | undefined,
  signal?: AbortSignal,
) => Promise<Pixels>;

/** The clean pictures that a preconditioned network sees in x = x_0 + sigma eps, a level for each. */
export async function elucidatedDenoise(
  network: ElucidatedNetwork,
  x: Pixels,
  sigmas: readonly number[],
  options: {
    readonly settings?: ElucidatedSettings;
    readonly before?: Pixels | undefined;
    readonly clamp?: boolean;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<Pixels> {
  const { settings = elucidatedDefaults, before, signal } = options;
  const factors = sigmas.map((sigma) => preconditioning(sigma, settings.sigmaData));
  const scaled = mapPixels(x, (i, item) => (factors[item]?.in ?? 0) * (x.data[i] as number));
  const output = await network(
    scaled,
    factors.map(({ noise }) => noise),
    before,
    signal,
  );
  const made = mapPixels(x, (i, item) => {
    const { skip = 0, out = 0 } = factors[item] ?? {};
    return skip * (x.data[i] as number) + out * (output.data[i] as number);
  });
  return options.clamp ? clamp(made, -1, 1) : made;
}

export interface ElucidatedSamplingOptions {
  readonly steps: number;
  readonly settings?: ElucidatedSettings;
  /** Clips each guess to [-1, 1]. Default true. */
  readonly clamp?: boolean;
  /** The network is given its guess before. Default false. */
  readonly selfCondition?: boolean;
  /** One draw a step, also where none is added. */
  readonly noise: () => Pixels;
  readonly signal?: AbortSignal;
}

/** Heun's method with churn. `start` is standard normal; the pictures are clipped to [-1, 1]. */
export async function sampleElucidated(
  network: ElucidatedNetwork,
  start: Pixels,
  options: ElucidatedSamplingOptions,
): Promise<Pixels> {
  const { steps, settings = elucidatedDefaults, clamp: clips = true, signal } = options;
  const sigmas = elucidatedSigmas(steps, settings);
  const items = start.shape[0] ?? 1;
  const denoise = (x: Pixels, sigma: number, before: Pixels | undefined): Promise<Pixels> =>
    elucidatedDenoise(network, x, new Array<number>(items).fill(sigma), {
      settings,
      before: options.selfCondition ? before : undefined,
      clamp: clips,
      signal,
    });
  let x = linearCombination([sigmas[0] as number, start]);
  let guess: Pixels | undefined;
  for (let i = 0; i < steps; i++) {
    throwIfAborted(signal);
    const [sigma, next] = [sigmas[i], sigmas[i + 1]] as [number, number];
    const isChurned = sigma >= settings.sTmin && sigma <= settings.sTmax;
    const hat = sigma * (1 + (isChurned ? Math.min(settings.sChurn / steps, Math.SQRT2 - 1) : 0));
    const churned = linearCombination(
      [1, x],
      [Math.sqrt(Math.max(0, hat * hat - sigma * sigma)) * settings.sNoise, options.noise()],
    );
    const first = await denoise(churned, hat, guess);
    const slope = linearCombination([1 / hat, churned], [-1 / hat, first]);
    x = linearCombination([1, churned], [next - hat, slope]);
    guess = first;
    if (next === 0) continue;
    guess = await denoise(x, next, first);
    const second = linearCombination([1 / next, x], [-1 / next, guess]);
    x = linearCombination([1, churned], [0.5 * (next - hat), slope], [0.5 * (next - hat), second]);
  }
  return clamp(x, -1, 1);
}

/** DPM-Solver++ (2M) over the same levels (Lu et al. 2022, arXiv 2211.01095), without churn and without clipping between. */
export async function sampleElucidatedDpm(
  network: ElucidatedNetwork,
  start: Pixels,
  options: Omit<ElucidatedSamplingOptions, 'noise' | 'clamp' | 'selfCondition'>,
): Promise<Pixels> {
  const { steps, settings = elucidatedDefaults, signal } = options;
  const sigmas = elucidatedSigmas(steps, settings);
  const items = start.shape[0] ?? 1;
  let x = linearCombination([sigmas[0] as number, start]);
  let old: Pixels | undefined;
  for (let i = 0; i < steps; i++) {
    throwIfAborted(signal);
    const [sigma, next] = [sigmas[i], sigmas[i + 1]] as [number, number];
    const guess = await elucidatedDenoise(network, x, new Array<number>(items).fill(sigma), { settings, signal });
    const h = Math.log(sigma) - Math.log(next);
    let ahead = guess;
    if (old && next !== 0) {
      const r = (Math.log(sigmas[i - 1] as number) - Math.log(sigma)) / h;
      const gamma = -1 / (2 * r);
      ahead = linearCombination([1 - gamma, guess], [gamma, old]);
    }
    x = linearCombination([next / sigma, x], [-Math.expm1(-h), ahead]);
    old = guess;
  }
  return clamp(x, -1, 1);
}
