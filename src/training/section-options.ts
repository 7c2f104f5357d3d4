/** Converts the section `training` of a configuration to options of steps and losses, for all kinds of training. */

import type { LossVariants } from './objective/diffusion.ts';
import type { OptimiserConfig } from './step/optimiser.ts';
import type { TrainingSection } from './training-config.ts';

export interface OptimiserDefaults {
  readonly kind: 'adamw' | 'adam';
  readonly betas: readonly [number, number];
}

/** The optimiser that the section names, with the defaults of what is trained. */
export function optimiserOf(
  { optimizer, betas, epsilon }: TrainingSection,
  defaults: OptimiserDefaults = { kind: 'adamw', betas: [0.9, 0.999] },
): OptimiserConfig {
  if (optimizer === 'sgd') return { kind: 'sgd' };
  const [first, second] = betas ?? defaults.betas;
  return { kind: optimizer ?? defaults.kind, betas: [first, second], epsilon };
}

/** Options of the diffusion loss in the section. */
export function lossVariantsOf(training: TrainingSection): LossVariants {
  return {
    lossType: training.loss_type,
    minSnrGamma: training.min_snr_gamma,
    noiseOffset: training.noise_offset,
    inputPerturbation: training.input_perturbation,
  };
}
