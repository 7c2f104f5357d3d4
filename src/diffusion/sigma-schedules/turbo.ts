/**
 * `turbo`: the levels of SD-Turbo (Sauer et al. 2023, "Adversarial Diffusion Distillation"): timesteps 999, 899, …, 99, of which the
 * last 10 x denoise are left and the first `steps` are taken. ComfyUI's `SDTurboScheduler`. At most ten steps.
 */

import { checkSteps, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const turbo: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const { denoise = 1 } = options;
  const start = 10 - Math.floor(10 * denoise);
  const timesteps = Array.from({ length: 10 }, (_, i) => 999 - 100 * i).slice(start, start + steps);
  return withZero(timesteps.map((t) => model.sigmaOfTimestep(t)));
};
