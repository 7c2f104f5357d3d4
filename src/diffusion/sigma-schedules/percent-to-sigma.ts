/** A position in a run as ComfyUI counts it: from 0 (only noise) to 1 (the image), even in timesteps. */

import type { NoiseSchedule } from '../noise-schedule.ts';

/** The noise level at `percent` of the way; 999999999.9 at 0 and 0 at 1, so that both ends include every step (`percent_to_sigma`). */
export function percentToSigma(model: NoiseSchedule, percent: number): number {
  if (percent <= 0) return 999999999.9;
  if (percent >= 1) return 0;
  return model.sigmaOfTimestep((1 - percent) * (model.trainTimesteps - 1));
}
