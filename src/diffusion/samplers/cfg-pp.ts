/**
 * CFG++ (Chung et al. 2024, arXiv 2406.08070): a step renoises with the slope of the unconditional prediction and goes to the guided
 * denoised latent. Euler, Euler ancestral, DPM++ 2S ancestral and DPM++ 2M in this form, after ComfyUI's `sample_*_cfg_pp`. Guidance scales
 * are small: 1 to 2. Euler and DPM++ 2M call the model once a step, DPM++ 2S twice. The ancestral ones read eta (default 1) and sNoise (1).
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { addScaled, linearCombination } from '../../tensor/arithmetic.ts';
import type { DenoisedParts, Denoiser, Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { ancestralStep } from './ancestral-step.ts';
import { type SigmaSamplerOptions, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, derivative, evaluate, exponentialStep, sigmaSteps } from './sigma-steps.ts';

/** The error of a model that has no unconditional prediction. */
export const withoutUnconditional = (): StableDiffusionError =>
  new StableDiffusionError(
    'invalid-argument',
    'CFG++ samplers need the unconditional prediction, and this model does not give it. Use another sampler.',
  );

/** One evaluation that gives the guided and the unconditional denoised latent. Throws `invalid-argument` for a model that has not both. */
export async function evaluateParts(
  denoise: Denoiser,
  x: Latent,
  sigma: number,
  signal: AbortSignal | undefined,
): Promise<DenoisedParts> {
  throwIfAborted(signal);
  if (denoise.parts) return denoise.parts(x, sigma, signal);
  throw withoutUnconditional();
}

/** One evaluation of a sampler that has both forms: without CFG++ the guided prediction stands for both. */
export async function evaluateForm(
  denoise: Denoiser,
  x: Latent,
  sigma: number,
  cfgPp: boolean,
  signal: AbortSignal | undefined,
): Promise<DenoisedParts> {
  if (cfgPp) return evaluateParts(denoise, x, sigma, signal);
  const denoised = await evaluate(denoise, x, sigma, signal);
  return { denoised, unconditional: denoised };
}

export async function* sampleEulerAncestralCfgPp(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  { noise, eta = 1, sNoise = 1, signal }: Partial<SigmaSamplerOptions>,
): Sampling {
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const { denoised, unconditional } = await evaluateParts(denoise, latent, sigma, signal);
    if (next === 0) latent = denoised;
    else {
      const { down, up } = ancestralStep(sigma, next, eta);
      const moved = addScaled(denoised, down, derivative(latent, sigma, unconditional));
      latent = addNoise(moved, noise, sigma, next, sNoise * up);
    }
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export function sampleEulerCfgPp(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: Partial<SigmaSamplerOptions>,
): Sampling {
  return sampleEulerAncestralCfgPp(denoise, x, sigmas, { ...options, eta: 0 });
}

/** ComfyUI's alternative form of Euler: the slope of x moved by the guidance. */
export async function* sampleEulerAlternativeCfgPp(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  { signal }: Partial<SigmaSamplerOptions>,
): Sampling {
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const { denoised, unconditional } = await evaluateParts(denoise, latent, sigma, signal);
    const moved = linearCombination([1, latent], [-1, denoised], [1, unconditional]);
    latent = addScaled(latent, next - sigma, derivative(moved, sigma, denoised));
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export async function* sampleDpmpp2sAncestralCfgPp(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  { noise, eta = 1, sNoise = 1, signal }: SigmaSamplerOptions,
): Sampling {
  let latent = x;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const { denoised, unconditional } = await evaluateParts(denoise, latent, sigma, signal);
    const { down, up } = ancestralStep(sigma, next, eta);
    if (down === 0) latent = denoised;
    else {
      const middle = Math.exp((Math.log(sigma) + Math.log(down)) / 2);
      /** x moved by the guidance, towards a denoised latent. */
      const towards = (target: Latent, empty: Latent, to: number): Latent =>
        exponentialStep(linearCombination([1, latent], [1, denoised], [-1, empty]), target, sigma, to);
      const second = await evaluateParts(denoise, towards(denoised, unconditional, middle), middle, signal);
      latent = towards(second.denoised, second.unconditional, down);
    }
    if (next > 0) latent = addNoise(latent, noise, sigma, next, sNoise * up);
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

export async function* sampleDpmpp2mCfgPp(
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  { signal }: Partial<SigmaSamplerOptions>,
): Sampling {
  let latent = x;
  let last: { readonly unconditional: Latent; readonly sigma: number } | undefined;
  for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
    const { denoised, unconditional } = await evaluateParts(denoise, latent, sigma, signal);
    const decay = next / sigma;
    const moved = linearCombination([1, denoised], [-decay, unconditional], [decay, latent]);
    if (!last || next === 0) latent = moved;
    else {
      const r = Math.log(last.sigma / sigma) / Math.log(sigma / next);
      const factor = (1 - decay) / (2 * r);
      latent = linearCombination([1, moved], [factor, denoised], [-factor, last.unconditional]);
    }
    last = { unconditional, sigma };
    yield { step, steps, sigma, latent, denoised };
  }
  return latent;
}

const common = { needsUnconditional: true } as const;

export const eulerCfgPp = sigmaSampler({
  ...common,
  name: 'euler-cfg-pp',
  title: 'Euler CFG++',
  aliases: ['euler_cfg_pp', 'sample_euler_cfg_pp'],
  usesStepNoise: false,
  sample: sampleEulerCfgPp,
});

export const eulerAncestralCfgPp = sigmaSampler({
  ...common,
  name: 'euler-ancestral-cfg-pp',
  title: 'Euler a CFG++',
  aliases: ['euler_ancestral_cfg_pp', 'sample_euler_ancestral_cfg_pp'],
  usesStepNoise: true,
  sample: sampleEulerAncestralCfgPp,
});

export const dpmpp2sAncestralCfgPp = sigmaSampler({
  ...common,
  name: 'dpmpp-2s-ancestral-cfg-pp',
  title: 'DPM++ 2S a CFG++',
  aliases: ['dpmpp_2s_ancestral_cfg_pp', 'sample_dpmpp_2s_ancestral_cfg_pp'],
  usesStepNoise: true,
  sample: sampleDpmpp2sAncestralCfgPp,
});

export const dpmpp2mCfgPp = sigmaSampler({
  ...common,
  name: 'dpmpp-2m-cfg-pp',
  title: 'DPM++ 2M CFG++',
  aliases: ['dpmpp_2m_cfg_pp', 'sample_dpmpp_2m_cfg_pp'],
  usesStepNoise: false,
  sample: sampleDpmpp2mCfgPp,
});
