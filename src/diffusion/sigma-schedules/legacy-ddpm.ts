/**
 * `legacy_ddpm`: sgm's `LegacyDDPMDiscretization`: the model's levels at whole timesteps, evenly from the last one down, the lowest left out
 * (linspace(T - 1, 0, n, endpoint=False), cut to whole numbers); with as many steps as there are levels, all of them.
 */

import { checkSteps, type SigmaSchedule, withZero } from './sigma-schedule.ts';

export const legacyDdpm: SigmaSchedule = (steps, model) => {
  checkSteps(steps);
  const { trainTimesteps: trained } = model;
  const timesteps = Array.from({ length: steps }, (_, i) =>
    steps === trained ? trained - 1 - i : Math.trunc(trained - 1 - (i * (trained - 1)) / steps),
  );
  return withZero(timesteps.map((t) => model.sigmaOfTimestep(t)));
};
