/**
 * SEEDS: stochastic explicit exponential derivative-free solvers (Gonzalez et al. 2023, arXiv 2305.14267) of two and three stages, and
 * exponential Heun, which is the two-stage form with its second stage at the end. Two or three model calls a step, one for a step to 0.
 * After ComfyUI's `sample_seeds_2`, `sample_seeds_3`, `sample_exp_heun_2_x0` and `sample_exp_heun_2_x0_sde`. Reads eta (default 1), sNoise
 * (1), r (SEEDS-2: where its second stage is, 1/2).
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import type { IntervalNoise } from '../../random/noise-source.ts';
import type { Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { type SigmaSamplerOptions, type SigmaSampling, sigmaSampler } from './sigma-sampler.ts';
import { evaluate, sigmaSteps } from './sigma-steps.ts';

const phi1 = (h: number): number => Math.expm1(h);
const phi2 = (h: number): number => (Math.expm1(h) - h) / h;

/** The level at a share of the way in log sigma, as float32 PyTorch calculates it: small weights multiply the difference. */
function levelAt(sigma: number, next: number, share: number): number {
  const f = Math.fround;
  const [from, to] = [f(-Math.log(sigma)), f(-Math.log(next))];
  const way = f(to - from);
  const lambda = share < 0.5 ? f(from + f(f(share) * way)) : f(to - f(way * f(1 - f(share))));
  return f(Math.exp(-lambda));
}

/** How the denoised latents of the stages are mixed: SEEDS-2 by `phi_1` (both as one), exponential Heun by `phi_2`. */
type Mixing = 'phi_1' | 'phi_2';

/** The noise of a step, built up over its stages from independent pieces. Undefined for a deterministic step. */
class StageNoise {
  readonly #draw: IntervalNoise | undefined;
  readonly #strength: number;
  #value: Latent | undefined;
  #from: number;

  /** `strength` is eta times the step's length in log sigma. */
  constructor(draw: IntervalNoise | undefined, strength: number, from: number) {
    this.#draw = draw;
    this.#strength = strength;
    this.#from = from;
  }

  /** Noise of the variance at a share of the step, `added` after the stage before, at level `sigma`. */
  at(added: number, sigma: number): Latent | undefined {
    if (!this.#draw || this.#strength === 0) return undefined;
    const h = added * this.#strength;
    const fresh = this.#draw(this.#from, sigma);
    const factor = Math.sqrt(-Math.expm1(-2 * h));
    this.#value = this.#value
      ? linearCombination([Math.exp(-h), this.#value], [factor, fresh])
      : linearCombination([factor, fresh]);
    this.#from = sigma;
    return this.#value;
  }
}

/** x at a share of the step: the decayed latent, denoised latents with their weights, and noise. */
function stage(
  x: Latent,
  decay: number,
  terms: readonly (readonly [number, Latent])[],
  noise: Latent | undefined,
  deviation: number,
): Latent {
  return linearCombination([decay, x], ...terms, ...(noise ? [[deviation, noise] as const] : []));
}

interface Settings {
  readonly eta: number;
  readonly sNoise: number;
}

const settingsOf = ({ eta = 1, sNoise = 1 }: Partial<SigmaSamplerOptions>): Settings => ({ eta, sNoise });

function sampleTwoStages(fixed: {
  readonly r?: number;
  readonly eta?: number;
  readonly mixing: Mixing;
}): SigmaSampling {
  return async function* (denoise, x, sigmas, options): Sampling {
    const { eta, sNoise } = settingsOf({ ...options, ...(fixed.eta === undefined ? {} : { eta: fixed.eta }) });
    const r = fixed.r ?? options.r ?? 0.5;
    const draw = eta > 0 && sNoise > 0 ? options.noise : undefined;
    let latent = x;
    for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
      const denoised = await evaluate(denoise, latent, sigma, options.signal);
      if (next === 0) latent = denoised;
      else {
        const h = Math.log(sigma / next);
        const long = h * (eta + 1);
        const middle = levelAt(sigma, next, r);
        const noise = new StageNoise(draw, h * eta, sigma);
        const decay = (share: number, level: number): number => (level / sigma) * Math.exp(-share * h * eta);
        const early = noise.at(r, middle);
        const ahead = stage(latent, decay(r, middle), [[-phi1(-r * long), denoised]], early, middle * sNoise);
        const second = await evaluate(denoise, ahead, middle, options.signal);
        const late = fixed.mixing === 'phi_1' ? phi1(-long) / (2 * r) : phi2(-long) / r;
        const weights = [[late - phi1(-long), denoised] as const, [-late, second] as const];
        latent = stage(latent, decay(1, next), weights, noise.at(1 - r, next), next * sNoise);
      }
      yield { step, steps, sigma, latent, denoised };
    }
    return latent;
  };
}

export const sampleSeeds2 = sampleTwoStages({ mixing: 'phi_1' });
export const sampleExpHeun2X0 = sampleTwoStages({ mixing: 'phi_2', r: 1, eta: 0 });
export const sampleExpHeun2X0Sde = sampleTwoStages({ mixing: 'phi_2', r: 1 });

export async function* sampleSeeds3(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
): Sampling {
  const { eta, sNoise } = settingsOf(options);
  const [r1, r2] = [1 / 3, 2 / 3];
  const draw = eta > 0 && sNoise > 0 ? options.noise : undefined;
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const denoised = await evaluate(denoise, latent, sigma, options.signal);
    if (next === 0) latent = denoised;
    else {
      const h = Math.log(sigma / next);
      const long = h * (eta + 1);
      const [first, second] = [levelAt(sigma, next, r1), levelAt(sigma, next, r2)];
      const noise = new StageNoise(draw, h * eta, sigma);
      const decay = (share: number, level: number): number => (level / sigma) * Math.exp(-share * h * eta);
      const early = stage(
        latent,
        decay(r1, first),
        [[-phi1(-r1 * long), denoised]],
        noise.at(r1, first),
        first * sNoise,
      );
      const denoised2 = await evaluate(denoise, early, first, options.signal);
      const a2 = (r2 / r1) * phi2(-r2 * long);
      const middle = stage(
        latent,
        decay(r2, second),
        [
          [a2 - phi1(-r2 * long), denoised],
          [-a2, denoised2],
        ],
        noise.at(r2 - r1, second),
        second * sNoise,
      );
      const denoised3 = await evaluate(denoise, middle, second, options.signal);
      const b3 = phi2(-long) / r2;
      const weights = [[b3 - phi1(-long), denoised] as const, [-b3, denoised3] as const];
      latent = stage(latent, decay(1, next), weights, noise.at(1 - r2, next), next * sNoise);
    }
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export const seeds2 = sigmaSampler({
  name: 'seeds-2',
  title: 'SEEDS-2',
  aliases: ['seeds_2', 'sample_seeds_2'],
  usesStepNoise: true,
  sample: sampleSeeds2,
});

export const seeds3 = sigmaSampler({
  name: 'seeds-3',
  title: 'SEEDS-3',
  aliases: ['seeds_3', 'sample_seeds_3'],
  usesStepNoise: true,
  sample: sampleSeeds3,
});

export const expHeun2X0 = sigmaSampler({
  name: 'exp-heun-2-x0',
  title: 'Exponential Heun 2 x0',
  aliases: ['exp_heun_2_x0', 'sample_exp_heun_2_x0'],
  usesStepNoise: false,
  sample: sampleExpHeun2X0,
});

export const expHeun2X0Sde = sigmaSampler({
  name: 'exp-heun-2-x0-sde',
  title: 'Exponential Heun 2 x0 SDE',
  aliases: ['exp_heun_2_x0_sde', 'sample_exp_heun_2_x0_sde'],
  usesStepNoise: true,
  sample: sampleExpHeun2X0Sde,
});
