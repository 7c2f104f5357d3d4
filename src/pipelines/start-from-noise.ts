/** Text to image: a batch starts from noise alone. */

import { StableDiffusionError } from '../errors.ts';
import { tasksOfKind } from '../model/model-tasks.ts';
import type { StartOf } from './start.ts';

export const startFromNoise: StartOf<'txt2img'> = (model) => {
  const { kind, config } = model.checkpoint;
  const tasks = tasksOfKind(kind) ?? ['txt2img'];
  // What is of no kind known here may yet take noise alone.
  const isPlain = kind === 'other' && config.unet_config.in_channels === config.channels;
  if (!tasks.includes('txt2img') && !isPlain)
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.label} makes its pictures from a picture${tasks[0] === 'inpaint' ? ' and a mask' : ''}, and none was given. Give it as the image of ${tasks[0]}.`,
    );
  return {};
};
