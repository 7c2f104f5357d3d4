/** Fields of a request for a cascade: the stages that enlarge the picture of the one before (DeepFloyd IF; Saharia et al. 2022). */

import * as z from 'zod';
import { bounds } from './bounds.ts';
import { list, real, text, whole } from './fields.ts';

const stageSchema = z
  .strictObject(
    {
      /** The model of the stage: its file, folder or name. The library takes the loaded model. */
      model: text(4096),
      /** Default: the model's recommendation, else 50. */
      steps: whole(bounds.steps).optional(),
      /** Default: the model's recommendation, else 5. */
      guidanceScale: real(bounds.guidance).optional(),
      /** Noise on the smaller picture. Default: that of `noiseLevel`. */
      noiseLevel: whole(bounds.noiseLevel).optional(),
      /** Default: the model's recommendation, else `ddim`. */
      sampler: text(200).optional(),
    },
    { error: 'an object of model, steps, guidanceScale, noiseLevel and sampler' },
  )
  .readonly();

/** Settings of a stage, without its model. */
export type StageSettings = Omit<z.output<typeof stageSchema>, 'model'>;

export const stageFields = {
  /**
   * Stages that enlarge the picture, one after the other, with the prompts of the first: DeepFloyd IF's second stage, then an x4 upscaler. One
   * stream of random numbers goes through all of them. For one iteration.
   */
  enlarge: list(stageSchema, 'stages', bounds.stages.min, bounds.stages.max).optional(),
};
