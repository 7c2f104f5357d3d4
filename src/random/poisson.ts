/** Poisson's distribution as numpy draws it (`random_poisson`, distributions.c), from any source of uniform numbers. */

const coefficients = [
  8.333333333333333e-2, -2.777777777777778e-3, 7.936507936507937e-4, -5.952380952380952e-4, 8.417508417508418e-4,
  -1.917526917526918e-3, 6.41025641025641e-3, -2.955065359477124e-2, 1.796443723688307e-1, -1.3924322169059,
] as const;

/** The logarithm of the gamma function, x of at least 1 (`random_loggam`). */
function logGamma(x: number): number {
  if (x === 1 || x === 2) return 0;
  const more = x < 7 ? Math.trunc(7 - x) : 0;
  let last = x + more;
  const inverse = (1 / last) * (1 / last);
  const series = coefficients.reduceRight((sum, value) => sum * inverse + value, 0);
  let value = series / last + 0.5 * 1.8378770664093453 + (last - 0.5) * Math.log(last) - last;
  for (let k = 0; k < more; k++) {
    value -= Math.log(last - 1);
    last -= 1;
  }
  return value;
}

/** Up to a mean of 10, by products of uniform numbers. */
function byProducts(uniform: () => number, mean: number): number {
  const least = Math.exp(-mean);
  let count = 0;
  for (let product = uniform(); product > least; product *= uniform()) count++;
  return count;
}

/** Transformed rejection (Hörmann 1993, PTRS). */
function byRejection(uniform: () => number, mean: number): number {
  const b = 0.931 + 2.53 * Math.sqrt(mean);
  const a = -0.059 + 0.02483 * b;
  const inverseAlpha = 1.1239 + 1.1328 / (b - 3.4);
  const sure = 0.9277 - 3.6224 / (b - 2);
  const logMean = Math.log(mean);
  for (;;) {
    const u = uniform() - 0.5;
    const v = uniform();
    const rest = 0.5 - Math.abs(u);
    const k = Math.floor(((2 * a) / rest + b) * u + mean + 0.43);
    if (rest >= 0.07 && v <= sure) return k;
    if (k < 0 || (rest < 0.013 && v > rest)) continue;
    const accepted = Math.log(v) + Math.log(inverseAlpha) - Math.log(a / (rest * rest) + b);
    if (accepted <= -mean + k * logMean - logGamma(k + 1)) return k;
  }
}

/** One draw with this mean, at least 0. `uniform`: numbers in [0, 1). */
export function poisson(uniform: () => number, mean: number): number {
  if (mean === 0) return 0;
  return mean >= 10 ? byRejection(uniform, mean) : byProducts(uniform, mean);
}
