/**
 * Objective: what a network is trained to say of x_t, and how what it says becomes the clean latent. Sampling and training read the same
 * value; a further objective is a row of `objectives`.
 *
 * Levels: x_t = alpha x_0 + sigma eps with alpha² + sigma² = 1 (`alpha` = sqrt(alphas_cumprod)), and the signal-to-noise ratio
 * alpha² / sigma². Everything is a pair of factors, so that it serves numbers, tensors and graphs alike.
 *
 * - `eps` (Ho et al. 2020, arXiv 2006.11239), `x0`, and `v` = alpha eps - sigma x_0 (Salimans and Ho 2022, arXiv 2202.00512, appendix D).
 * - `flow`: eps - x_0 of the straight line (1 - t) x_0 + t eps (Liu et al. 2022, arXiv 2209.03003; Lipman et al. 2022). Its network sees
 *   x_t / (alpha + sigma), which is on that line at t = sigma / (alpha + sigma).
 */

/** Factors of x_0 and of the noise. */
export type OfParts = readonly [x0: number, eps: number];

/** Factors of x_t and of the network's output. */
export type OfOutput = readonly [x: number, output: number];

export interface Objective {
  /** What the network is given in place of x_t: x_t times this. */
  readonly noising: (alpha: number, sigma: number) => number;
  /** What it should say. */
  readonly target: (alpha: number, sigma: number) => OfParts;
  /** The clean latent. */
  readonly x0: (alpha: number, sigma: number) => OfOutput;
  /** The noise. */
  readonly eps: (alpha: number, sigma: number) => OfOutput;
  /** The clean latent from x = x_0 + k eps, rounded where the originals round in float32. `deviation` is sqrt(k² + 1), `variance` its square. */
  readonly x0OfSigma: (k: number, variance: number, deviation: number) => OfOutput;
  /** The loss's weight by min-SNR (Hang et al. 2023, arXiv 2303.09556). */
  readonly minSnr: (snr: number, gamma: number) => number;
}

const asItIs = (): number => 1;

export const objectives = {
  eps: {
    noising: asItIs,
    target: () => [0, 1],
    x0: (alpha, sigma) => [1 / alpha, -sigma / alpha],
    eps: () => [0, 1],
    x0OfSigma: (k) => [1, -k],
    minSnr: (snr, gamma) => Math.min(snr, gamma) / snr,
  },
  v: {
    noising: asItIs,
    target: (alpha, sigma) => [-sigma, alpha],
    x0: (alpha, sigma) => [alpha, -sigma],
    eps: (alpha, sigma) => [sigma, alpha],
    x0OfSigma: (k, variance, deviation) => [1 / variance, -k / deviation],
    minSnr: (snr, gamma) => Math.min(snr, gamma) / (snr + 1),
  },
  x0: {
    noising: asItIs,
    target: () => [1, 0],
    x0: () => [0, 1],
    eps: (alpha, sigma) => [1 / sigma, -alpha / sigma],
    x0OfSigma: () => [0, 1],
    minSnr: (snr, gamma) => Math.min(snr, gamma),
  },
  flow: {
    noising: (alpha, sigma) => 1 / (alpha + sigma),
    target: () => [-1, 1],
    x0: (alpha, sigma) => [1 / (alpha + sigma), -sigma / (alpha + sigma)],
    eps: (alpha, sigma) => [1 / (alpha + sigma), alpha / (alpha + sigma)],
    x0OfSigma: (k) => [1 / (1 + k), -k / (1 + k)],
    minSnr: (snr, gamma) => Math.min(snr, gamma) / (1 + Math.sqrt(snr)) ** 2,
  },
} as const satisfies Readonly<Record<string, Objective>>;

/** What a network predicts; the CompVis configurations' `parameterization`, and `flow`. */
export type Parameterization = keyof typeof objectives;

export const parameterizations = Object.keys(objectives) as readonly Parameterization[];

export const objectiveOf = (parameterization: Parameterization): Objective => objectives[parameterization];
