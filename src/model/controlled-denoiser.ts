/** A model's denoiser under controls, as guidance calls it. */

import { controlledNetwork } from '../diffusion/control/controlled-network.ts';
import type { ControlProgress, ControlWindowRule } from '../diffusion/control/control-window.ts';
import type { Latent } from '../diffusion/denoiser.ts';
import type { Network } from '../diffusion/guidance.ts';
import type { NoiseSchedule } from '../diffusion/noise-schedule.ts';
import type { Parameterization } from '../diffusion/parameterization.ts';
import type { Shape } from '../tensor/tensor.ts';
import { StableDiffusionError } from '../errors.ts';
import type { ControlPlan } from './control-units.ts';
import { type DenoisingModel, extendedDenoiser } from './extended-denoiser.ts';

export interface ControlRun {
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  readonly rule: ControlWindowRule;
  /** Counted up by the caller after every step. */
  readonly progress: ControlProgress;
  /** Noise for reference pictures. Default: none of the units looks at one. */
  readonly noise?: ((shape: Shape) => Latent) | undefined;
}

/** A model's denoiser under controls, until it is disposed of. */
export interface ControlledDenoiser extends AsyncDisposable {
  readonly network: Network;
}

function noNoise(): never {
  throw new StableDiffusionError('invalid-argument', 'A reference picture needs noise.');
}

/** Throws `weights-mismatch` where an adapter does not fit the denoiser. */
export async function controlledDenoiser(
  model: DenoisingModel,
  { units, additions }: ControlPlan,
  run: ControlRun,
): Promise<ControlledDenoiser> {
  const { predict, observe, neutral, ...end } = await extendedDenoiser(model, additions);
  return {
    ...end,
    network:
      units.length === 0
        ? predict
        : controlledNetwork({ network: predict, observe, neutral, units, ...run, noise: run.noise ?? noNoise }),
  };
}
