/** What a run is guided by: a positive and a negative prompt with a scale. */

import type { ConditioningValue } from '../values/conditioning.ts';
import type { ModelValue } from '../values/model.ts';
import { controlRun } from './control-inputs.ts';
import { guidedDenoiser } from './denoise.ts';
import { regionsOf } from './regions.ts';
import type { Guider } from './sample.ts';

/** Classifier-free guidance of two prompts. */
export function cfgGuider(
  model: ModelValue,
  prompts: readonly [positive: ConditioningValue, negative: ConditioningValue],
  scale: number,
): Guider {
  return {
    model,
    async denoiser(run, needsUnconditional, { networks, signal }) {
      const [positive = [], negative = []] = await regionsOf(model, prompts, run);
      return guidedDenoiser(
        { model, networks, controls: controlRun(), signal },
        [positive, negative],
        scale,
        needsUnconditional,
      );
    },
  };
}
