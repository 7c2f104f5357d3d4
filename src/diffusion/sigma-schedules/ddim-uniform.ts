/**
 * `ddim_uniform`: the timesteps 1, 1 + k, 1 + 2k, … with k = floor(T / steps), as DDIM's uniform ones. A1111 calls it `ddim`.
 *
 * If `steps` does not divide T it has more steps than requested. If level 1 of the model is 0, that is the last one.
 */

import { checkSteps, type SigmaSchedule } from './sigma-schedule.ts';

export const ddimUniform: SigmaSchedule = (steps, model) => {
  checkSteps(steps);
  const { sigmas } = model;
  const endsInZero = Math.abs(sigmas[1] as number) < 1e-5;
  const stride = Math.max(Math.floor(sigmas.length / (endsInZero ? steps + 1 : steps)), 1);
  const levels = endsInZero ? [] : [0];
  for (let t = 1; t < sigmas.length; t += stride) levels.push(sigmas[t] as number);
  return Float32Array.from(levels.reverse());
};
