import type { LoraTrainingOptions } from '../../src/training/adapt/lora.ts';

/** A path beside one layer, which begins as nothing: the least that can be trained. */
export const least: Pick<LoraTrainingOptions, 'unet'> = {
  unet: { rank: 1, targets: (name) => name === 'out.2.weight' },
};
