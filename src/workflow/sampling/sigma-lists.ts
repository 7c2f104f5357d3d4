/** Lists of sigmas: a schedule of a Laplace distribution, parts of lists, and lists with further levels between. */

import { linspace } from '../../diffusion/sigma-schedules/sigma-schedule.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';

/** Levels whose logarithm has a Laplace distribution (k-diffusion's `get_sigmas_laplace`; Tong et al. 2024). Does not end at 0. */
export function laplace(
  steps: number,
  { min, max, mu, beta }: { readonly min: number; readonly max: number; readonly mu: number; readonly beta: number },
): Float32Array {
  return linspace(0, 1, steps).map((x) => {
    const side = Math.sign(0.5 - x);
    const logarithm = mu - beta * side * Math.log(1 - 2 * Math.abs(0.5 - x) + 1e-5);
    return Math.min(max, Math.max(min, Math.exp(logarithm)));
  });
}

/** The levels up to a step, and those from it on. */
export const splitAt = (sigmas: Float32Array, step: number): readonly [Float32Array, Float32Array] => [
  sigmas.slice(0, step + 1),
  sigmas.slice(step),
];

/** The levels before the part that `denoise` is, and that part. */
export function splitByDenoise(sigmas: Float32Array, denoise: number): readonly [Float32Array, Float32Array] {
  const steps = roundHalfEven(Math.max(sigmas.length - 1, 0) * denoise);
  return [steps === 0 ? new Float32Array() : sigmas.slice(0, -steps), sigmas.slice(-(steps + 1))];
}

const spacings: Readonly<Record<string, (x: number) => number>> = {
  linear: (x) => x,
  cosine: (x) => Math.sin((x * Math.PI) / 2),
  sine: (x) => 1 - Math.cos((x * Math.PI) / 2),
};

/** `steps - 1` levels more in each step that begins between two levels. */
export function extended(
  sigmas: Float32Array,
  {
    steps,
    start,
    end,
    spacing,
  }: { readonly steps: number; readonly start: number; readonly end: number; readonly spacing: string },
): Float32Array {
  const highest = start < 0 ? Number.POSITIVE_INFINITY : start;
  const between = spacings[spacing] ?? ((x: number) => x);
  const made: number[] = [];
  for (let i = 0; i < sigmas.length - 1; i++) {
    const [from, to] = [sigmas[i], sigmas[i + 1]] as [number, number];
    made.push(from);
    if (from < end || from > highest) continue;
    for (let k = 1; k < steps; k++) made.push(between(k / steps) * (to - from) + from);
  }
  const last = sigmas.at(-1);
  return Float32Array.from(last === undefined ? made : [...made, last]);
}
