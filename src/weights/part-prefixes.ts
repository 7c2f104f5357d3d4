/** The parts of a CompVis checkpoint by their names in it. */

/** The module of each part. */
export const partModules = {
  unet: 'model.diffusion_model',
  first_stage: 'first_stage_model',
  cond_stage: 'cond_stage_model',
} as const;

/** What the names of a part's parameters begin with. */
export const partPrefixes = {
  unet: 'model.diffusion_model.',
  first_stage: 'first_stage_model.',
  cond_stage: 'cond_stage_model.',
} as const satisfies { readonly [P in keyof typeof partModules]: `${(typeof partModules)[P]}.` };
