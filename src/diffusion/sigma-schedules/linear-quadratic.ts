/**
 * `linear_quadratic`: slow and even at first, then quadratic. Genmo's Mochi 1 and "Movie Gen" (Polyak et al. 2024, section 3.4.2);
 * ComfyUI's `linear_quadratic_schedule`, which scales it by the model's highest level.
 */

import { checkSteps, highest, type SigmaSchedule } from './sigma-schedule.ts';

export const linearQuadratic: SigmaSchedule = (steps, model, options = {}) => {
  checkSteps(steps);
  const max = highest(model, options);
  if (steps === 1) return Float32Array.of(max, 0);
  const { thresholdNoise = 0.025, linearSteps = Math.floor(steps / 2) } = options;
  const difference = linearSteps - thresholdNoise * steps;
  const quadraticSteps = steps - linearSteps;
  const a = difference / (linearSteps * quadraticSteps ** 2);
  const b = thresholdNoise / linearSteps - (2 * difference) / quadraticSteps ** 2;
  const c = a * linearSteps ** 2;
  return Float32Array.from({ length: steps + 1 }, (_, i) => {
    if (i === steps) return 0;
    return (1 - (i < linearSteps ? (i * thresholdNoise) / linearSteps : a * i * i + b * i + c)) * max;
  });
};
