/** `simple`: levels of the model's table at even distances from its end, without interpolation. A1111, ComfyUI. */

import { checkSteps, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const simple: SigmaSchedule = (steps, model) => {
  checkSteps(steps);
  const { sigmas } = model;
  const stride = sigmas.length / steps;
  return withZero(Array.from({ length: steps }, (_, i) => sigmas.at(-1 - Math.floor(i * stride)) as number));
};
