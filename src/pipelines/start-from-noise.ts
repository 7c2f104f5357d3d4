/** Text to image: a batch starts from noise alone. */

import { StableDiffusionError } from '../errors.ts';
import { pictureConditions } from './picture-conditions.ts';
import type { StartOf } from './start.ts';

export const startFromNoise: StartOf<'txt2img'> = (model) => {
  if (pictureConditions[model.checkpoint.kind] || model.checkpoint.kind === 'enlarge')
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.label} makes its pictures from a picture, and none was given. Give it as the image of img2img.`,
    );
  return {};
};
