/** Noise schedules and loss weights of denoising-diffusion-pytorch (lucidrains): betas in float64, by the number of timesteps. */

import { linspace } from './beta-schedule.ts';
import { alphasCumprodOf } from './noise-schedule.ts';
import { objectiveOf, type Parameterization } from './objective.ts';

export interface SigmoidOptions {
  /** Defaults -3, 3 and 1. */
  readonly start?: number;
  readonly end?: number;
  readonly tau?: number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Betas between values of alphas_cumprod at T + 1 points, at most 0.999. */
function betasBetween(bar: (t: number) => number, timesteps: number): Float64Array {
  return Float64Array.from({ length: timesteps }, (_, i) =>
    Math.min(Math.max(1 - bar((i + 1) / timesteps) / bar(i / timesteps), 0), 0.999),
  );
}

/** `linear` is scaled by 1000 / T. `sigmoid`: Jabri et al. 2022 (arXiv 2212.11972), figure 8, better for pictures above 64 pixels. */
export const lucidBetas = {
  linear: (timesteps: number): Float64Array => linspace(0.1 / timesteps, 20 / timesteps, timesteps),
  cosine: (timesteps: number): Float64Array =>
    betasBetween((t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2, timesteps),
  sigmoid: (timesteps: number, { start = -3, end = 3, tau = 1 }: SigmoidOptions = {}): Float64Array => {
    const [first, last] = [Math.fround(sigmoid(start / tau)), Math.fround(sigmoid(end / tau))];
    return betasBetween((t) => (last - sigmoid((t * (end - start) + start) / tau)) / (last - first), timesteps);
  },
} as const;

export type LucidSchedule = keyof typeof lucidBetas;

/** The weight of each timestep's loss: by min-SNR (Hang et al. 2023) with `gamma`, else 1, SNR or SNR / (SNR + 1) by the objective. */
export function lucidLossWeights(
  betas: Float64Array,
  parameterization: Parameterization,
  gamma = Number.POSITIVE_INFINITY,
): Float64Array {
  const { minSnr } = objectiveOf(parameterization);
  return alphasCumprodOf(betas).map((bar) => minSnr(bar / (1 - bar), gamma));
}
