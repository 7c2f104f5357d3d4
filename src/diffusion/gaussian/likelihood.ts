/** Likelihoods of guided-diffusion's losses.py: divergence of Gaussians, and the probability of a pixel of 256 levels under one (Ho et al. 2020, equation 13). */

/** KL(N(mean1, exp(logvar1)) || N(mean2, exp(logvar2))) in nats. */
export function normalKl(mean1: number, logvar1: number, mean2: number, logvar2: number): number {
  return 0.5 * (-1 + logvar2 - logvar1 + Math.exp(logvar1 - logvar2) + (mean1 - mean2) ** 2 * Math.exp(-logvar2));
}

/** A fast approximation of the standard normal's cumulative distribution. */
export function approximateCdf(x: number): number {
  return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

const floor = (probability: number): number => Math.log(Math.max(probability, 1e-12));

/** Log-probability of a level in [-1, 1], a multiple of 2 / 255, under N(mean, exp(2 logScale)); the ends take all that lies beyond. */
export function discretizedLogLikelihood(x: number, mean: number, logScale: number): number {
  const inverse = Math.exp(-logScale);
  const above = approximateCdf(Math.fround(inverse * (x - mean + 1 / 255)));
  const below = approximateCdf(Math.fround(inverse * (x - mean - 1 / 255)));
  if (x < -0.999) return floor(above);
  if (x > 0.999) return floor(1 - below);
  return floor(above - below);
}
