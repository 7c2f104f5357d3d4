/**
 * Variances of the forward process, beta_1 … beta_T, by the names that configurations give them.
 *
 * `betaSchedule` is make_beta_schedule of CompVis (ldm/modules/diffusionmodules/util.py), in float64. `diffusersBetas` is what
 * diffusers' schedulers do for the same field, in float32.
 */

import { StableDiffusionError } from '../errors.ts';

/** CompVis's names. Mind that its `linear` is linear in sqrt(beta): diffusers' `scaled_linear`; `sqrt_linear` is diffusers' `linear`. */
export type BetaScheduleName = 'linear' | 'cosine' | 'sqrt_linear' | 'sqrt';

export interface BetaOptions {
  /** beta_1 and beta_T. Defaults 1e-4 and 2e-2; SD v1 has 0.00085 and 0.012. Not used by `cosine`. */
  readonly linearStart?: number;
  readonly linearEnd?: number;
  /** Offset of the cosine schedule (Nichol and Dhariwal 2021). Default 8e-3. */
  readonly cosineS?: number;
}

const maxBeta = 0.999;

/** `count` values from start to end, both included, in float64 as torch.linspace. */
export function linspace(start: number, end: number, count: number): Float64Array {
  const step = count > 1 ? (end - start) / (count - 1) : 0;
  return Float64Array.from({ length: count }, (_, i) =>
    i < count / 2 ? start + step * i : end - step * (count - 1 - i),
  );
}

/** As `linspace`, in the float32 arithmetic of torch.linspace(dtype=float32), which multiplies and adds in one rounding. */
export function linspaceFloat32(start: number, end: number, count: number): Float32Array {
  const first = Math.fround(start);
  const last = Math.fround(end);
  const step = count > 1 ? Math.fround(Math.fround(last - first) / (count - 1)) : 0;
  return Float32Array.from({ length: count }, (_, i) =>
    i < Math.floor(count / 2) ? first + step * i : last - step * (count - 1 - i),
  );
}

function checkTimesteps(timesteps: number): void {
  if (!Number.isSafeInteger(timesteps) || timesteps < 1 || timesteps > 1_000_000) {
    throw new StableDiffusionError(
      'config-invalid',
      `A noise schedule has ${timesteps} timesteps, and 1 to 1,000,000 are possible. Correct \`timesteps\` in the model's configuration (SD v1: 1000).`,
    );
  }
}

/** float64 betas [timesteps]. Throws `config-invalid` for a name or a number of timesteps that cannot be. */
export function betaSchedule(name: BetaScheduleName, timesteps: number, options: BetaOptions = {}): Float64Array {
  const { linearStart = 1e-4, linearEnd = 2e-2, cosineS = 8e-3 } = options;
  checkTimesteps(timesteps);
  switch (name) {
    case 'linear':
      return linspace(Math.sqrt(linearStart), Math.sqrt(linearEnd), timesteps).map((root) => root * root);
    case 'sqrt_linear':
      return linspace(linearStart, linearEnd, timesteps);
    case 'sqrt':
      return linspace(linearStart, linearEnd, timesteps).map(Math.sqrt);
    case 'cosine': {
      const alphaBar = (i: number) => Math.cos((((i / timesteps + cosineS) / (1 + cosineS)) * Math.PI) / 2) ** 2;
      return Float64Array.from({ length: timesteps }, (_, i) =>
        Math.min(Math.max(1 - alphaBar(i + 1) / alphaBar(i), 0), maxBeta),
      );
    }
    default:
      throw new StableDiffusionError(
        'config-invalid',
        `The noise schedule ${JSON.stringify(name)} is not known; linear, cosine, sqrt_linear and sqrt are.`,
      );
  }
}

/** float32 betas [timesteps] of a diffusers scheduler's `beta_schedule` (linear, scaled_linear, squaredcos_cap_v2). */
export function diffusersBetas(name: string, timesteps: number, start: number, end: number): Float32Array {
  checkTimesteps(timesteps);
  switch (name) {
    case 'linear':
      return linspaceFloat32(start, end, timesteps);
    case 'scaled_linear':
      return linspaceFloat32(Math.sqrt(start), Math.sqrt(end), timesteps).map((root) => root * root);
    case 'squaredcos_cap_v2': {
      const alphaBar = (t: number) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2;
      return Float32Array.from({ length: timesteps }, (_, i) =>
        Math.min(1 - alphaBar((i + 1) / timesteps) / alphaBar(i / timesteps), maxBeta),
      );
    }
    default:
      throw new StableDiffusionError(
        'config-invalid',
        `The beta_schedule ${JSON.stringify(name)} of a diffusers scheduler is not known; linear, scaled_linear and squaredcos_cap_v2 are.`,
      );
  }
}

/** Betas rescaled so that the last step has no signal left (Lin et al. 2023, arXiv 2305.08891, algorithm 1); in float32 steps as diffusers. */
export function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeProduct(betas).map(Math.sqrt);
  const first = roots[0] as number;
  const last = roots[roots.length - 1] as number;
  const factor = Math.fround(first / Math.fround(first - last));
  const alphaBars = roots.map((root) => Math.fround(Math.fround(root - last) * factor) ** 2);
  return alphaBars.map((alphaBar, i) => 1 - Math.fround(i === 0 ? alphaBar : alphaBar / (alphaBars[i - 1] as number)));
}

/** alphas_cumprod as torch.cumprod(1 - betas) in float32 (which accumulates in float64). */
export function cumulativeProduct(betas: Float32Array): Float32Array {
  let product = 1;
  return betas.map((beta) => {
    product *= Math.fround(1 - beta);
    return product;
  });
}
