/**
 * The quantile function of the beta distribution, for the `beta` schedules.
 *
 * The regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22, evaluated with Lentz's algorithm),
 * inverted by bisection, which needs no derivative near the infinite ones at 0 and 1.
 */

import { StableDiffusionError } from '../../errors.ts';

/** Lanczos's coefficients for g = 7, n = 9 (as published by Godfrey). */
const lanczos = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln of the gamma function, for x > 0. */
function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const base = x + 6.5;
  const sum = lanczos.reduce((total, coefficient, i) => (i === 0 ? coefficient : total + coefficient / (x - 1 + i)), 0);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(base) - base + Math.log(sum);
}

/** The continued fraction of I_x(a, b), which converges fast for x < (a + 1) / (a + b + 2). */
function continuedFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / Math.max(1 - ((a + b) * x) / (a + 1), tiny);
  let fraction = d;
  for (let m = 1; m <= 500; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    let delta = 1;
    for (const numerator of [even, odd]) {
      d = 1 / (1 + numerator * d || tiny);
      c = 1 + numerator / c || tiny;
      delta = d * c;
      fraction *= delta;
    }
    if (Math.abs(delta - 1) < 1e-16) break;
  }
  return fraction;
}

/** I_x(a, b): the probability of a value up to x. */
function betaCumulative(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return (front * continuedFraction(x, a, b)) / a;
  return 1 - (front * continuedFraction(1 - x, b, a)) / b;
}

/** The x in [0, 1] below which a beta(a, b) value lies with the probability given, in [0, 1]; a, b > 0. Throws `invalid-argument`. */
export function betaQuantile(probability: number, a: number, b: number): number {
  if (!(a > 0 && b > 0 && probability >= 0 && probability <= 1)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A beta quantile needs a, b > 0 and a probability in [0, 1]; found ${a}, ${b} and ${probability}.`,
    );
  }
  if (probability === 0 || probability === 1) return probability;
  // In the upper half the distance from 1 is sought, so that x near 1 keeps its digits.
  if (probability > 0.5) return 1 - betaQuantile(1 - probability, b, a);
  let low = 0;
  let high = 1;
  for (let i = 0; i < 200 && low < high; i++) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (betaCumulative(middle, a, b) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
