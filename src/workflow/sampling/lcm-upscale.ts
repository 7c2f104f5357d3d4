/** LCM that enlarges the latent between its steps: each guess of the clean latent grows a little before it gets fresh noise. After ComfyUI's `sample_lcm_upscale`. */

import type { Latent } from '../../diffusion/denoiser.ts';
import type { SigmaSampling } from '../../diffusion/samplers/sigma-sampler.ts';
import { evaluate, sigmaSteps } from '../../diffusion/samplers/sigma-steps.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { addScaled } from '../../tensor/arithmetic.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { upscale } from '../upscale.ts';

export interface LatentGrowth {
  /** How much larger the latent is in the end. */
  readonly ratio: number;
  /** Steps that enlarge. Default: half of them. */
  readonly steps?: number | undefined;
  readonly method: string;
}

/** Factors of the first steps. */
function factorsOf({ ratio, steps }: LatentGrowth, levels: number): number[] {
  const count = steps === undefined ? Math.max(Math.floor(levels / 2), 1) : Math.min(steps, levels);
  return Array.from({ length: count }, (_, i) => 1 + ((i + 1) * (ratio - 1)) / count);
}

/** The sampler, with a generator for the noise of its steps. */
export function upscalingLcm(growth: LatentGrowth, random: TorchGenerator): SigmaSampling {
  return async function* (denoise, x, sigmas, { signal }) {
    const factors = factorsOf(growth, sigmas.length);
    const [, , height = 1, width = 1] = x.shape;
    let latent: Latent = x;
    for (const { step, steps, sigma, next } of sigmaSteps(sigmas)) {
      const denoised = await evaluate(denoise, latent, sigma, signal);
      latent = denoised;
      const factor = factors[step - 1];
      if (factor !== undefined)
        latent = upscale(latent, {
          width: roundHalfEven(width * factor),
          height: roundHalfEven(height * factor),
          method: growth.method,
        });
      if (next > 0) latent = addScaled(latent, next, random.randn(latent.shape));
      yield { step, steps, sigma, latent, denoised };
    }
    return latent;
  };
}
