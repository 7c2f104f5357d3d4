/** A1111's names of a job's fields, for errors. */

import type { FieldNames } from '../../decide-job.ts';

export const fieldNames: FieldNames = {
  model: 'override_settings',
  negativePrompt: 'negative_prompt',
  subseedStrength: 'subseed_strength',
  batchSize: 'batch_size',
  iterations: 'n_iter',
  sampler: 'sampler_name',
  schedule: 'scheduler',
  guidanceScale: 'cfg_scale',
  imageGuidanceScale: 'image_cfg_scale',
  strength: 'denoising_strength',
  hires: 'hr_second_pass_steps',
  refiner: 'refiner_checkpoint',
  refinerSwitchAt: 'refiner_switch_at',
  noiseSettings: 'seed_resize_from_w',
  outpaint: 'script_args',
};
