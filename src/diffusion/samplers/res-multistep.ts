/**
 * RES multistep: the second-order exponential integrator of Zhang et al. 2023, "Improved Order Analysis and Design of Exponential Integrator
 * for Diffusion Models Sampling" (arXiv 2308.02157). One model call a step. After ComfyUI's `res_multistep`: deterministic, ancestral,
 * and both in the form of CFG++. The ancestral ones read eta (default 1) and sNoise (1).
 */

import { addScaled, linearCombination } from '../../tensor/arithmetic.ts';
import type { Latent } from '../denoiser.ts';
import type { Sampling } from '../sampler.ts';
import { ancestralStep } from './ancestral-step.ts';
import { evaluateForm } from './cfg-pp.ts';
import { type SigmaSamplerOptions, type SigmaSampling, sigmaSampler } from './sigma-sampler.ts';
import { addNoise, derivative, eulerStep, sigmaSteps } from './sigma-steps.ts';

interface Form {
  readonly ancestral: boolean;
  readonly cfgPp: boolean;
}

interface Past {
  readonly denoised: Latent;
  readonly sigma: number;
  /** The level that the step went down to. */
  readonly down: number;
}

/** Weights of the newest and the last denoised latent: phi functions of the step h and of the last one's share of it. */
function weights(sigma: number, down: number, past: Past): readonly [number, number, number] {
  const h = Math.log(sigma / down);
  const c2 = Math.log(past.down / past.sigma) / h;
  const phi1 = Math.expm1(-h) / -h;
  const phi2 = (phi1 - 1) / -h;
  const older = Number.isFinite(phi2 / c2) ? phi2 / c2 : 0;
  return [Math.exp(-h), h * (phi1 - older), h * older];
}

function sampleForm({ ancestral, cfgPp }: Form): SigmaSampling {
  return async function* (denoise, x, sigmas, options: SigmaSamplerOptions): Sampling {
    const { noise, sNoise = 1, signal } = options;
    const eta = ancestral ? (options.eta ?? 1) : 0;
    let latent = x;
    let past: Past | undefined;
    for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
      const { denoised, unconditional } = await evaluateForm(denoise, latent, sigma, cfgPp, signal);
      const { down, up } = ancestralStep(sigma, next, eta);
      if (down === 0 || !past) {
        latent = cfgPp
          ? addScaled(denoised, down, derivative(latent, sigma, unconditional))
          : eulerStep(latent, denoised, sigma, down);
      } else {
        const [decay, newer, older] = weights(sigma, down, past);
        const guided: readonly (readonly [number, Latent])[] = cfgPp
          ? [
              [decay, denoised],
              [-decay, unconditional],
            ]
          : [];
        latent = linearCombination([decay, latent], ...guided, [newer, unconditional], [older, past.denoised]);
      }
      latent = next > 0 ? addNoise(latent, noise, sigma, next, sNoise * up) : latent;
      past = { denoised: unconditional, sigma, down };
      yield { step, steps, sigma, latent, denoised };
    }
    return latent;
  };
}

export const sampleResMultistep = sampleForm({ ancestral: false, cfgPp: false });
export const sampleResMultistepCfgPp = sampleForm({ ancestral: false, cfgPp: true });
export const sampleResMultistepAncestral = sampleForm({ ancestral: true, cfgPp: false });
export const sampleResMultistepAncestralCfgPp = sampleForm({ ancestral: true, cfgPp: true });

export const resMultistep = sigmaSampler({
  name: 'res-multistep',
  title: 'RES multistep',
  aliases: ['res_multistep', 'sample_res_multistep'],
  usesStepNoise: false,
  sample: sampleResMultistep,
});

export const resMultistepCfgPp = sigmaSampler({
  name: 'res-multistep-cfg-pp',
  title: 'RES multistep CFG++',
  aliases: ['res_multistep_cfg_pp', 'sample_res_multistep_cfg_pp'],
  usesStepNoise: false,
  needsUnconditional: true,
  sample: sampleResMultistepCfgPp,
});

export const resMultistepAncestral = sigmaSampler({
  name: 'res-multistep-ancestral',
  title: 'RES multistep a',
  aliases: ['res_multistep_ancestral', 'sample_res_multistep_ancestral'],
  usesStepNoise: true,
  sample: sampleResMultistepAncestral,
});

export const resMultistepAncestralCfgPp = sigmaSampler({
  name: 'res-multistep-ancestral-cfg-pp',
  title: 'RES multistep a CFG++',
  aliases: ['res_multistep_ancestral_cfg_pp', 'sample_res_multistep_ancestral_cfg_pp'],
  usesStepNoise: true,
  needsUnconditional: true,
  sample: sampleResMultistepAncestralCfgPp,
});
