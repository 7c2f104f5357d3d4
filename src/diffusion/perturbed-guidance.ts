/**
 * Perturbed-attention guidance (Ahn et al. 2024, arXiv 2403.17377): away from what the network predicts where its self-attention is the identity
 * (`extensions/perturbed-attention.ts`). As diffusers' PAG pipelines.
 */

import { float32 } from '../tensor/tensor.ts';
import type { GuidanceTerm } from './guidance.ts';
import { addDifference } from './guidance-term.ts';

export interface PerturbedGuidance {
  /** Scale of the term; 0 turns it off. */
  readonly scale: number;
  /** How much the scale falls for every timestep that is done, not below 0. Default 0. */
  readonly adaptive?: number;
}

/** guided + s (prompted - perturbed). */
export function perturbedGuidance({ scale, adaptive = 0 }: PerturbedGuidance): GuidanceTerm {
  return async (guided, { network, timestep, conditional, prompted, schedule, signal }) => {
    const strength = adaptive > 0 ? Math.max(0, scale - adaptive * (schedule.trainTimesteps - timestep)) : scale;
    if (strength === 0) return guided;
    const count = prompted.shape[0] ?? 1;
    const perturbed = await network(
      { ...conditional, perturbed: float32([count], new Float32Array(count).fill(1)) },
      signal,
    );
    return addDifference(guided, strength, prompted, perturbed);
  };
}
