/** The starts by task: the only place that distinguishes tasks. */

import type { AnyInputs } from '../generation/inputs.ts';
import type { GenerationRequest, Task } from '../generation/request.ts';
import type { Model } from '../model/model.ts';
import type { PictureSize } from './picture-size.ts';
import type { Start, StartOf } from './start.ts';
import { startFromNoise } from './start-from-noise.ts';

const starts: { readonly [T in Task]: () => Promise<StartOf<T>> } = {
  txt2img: async () => startFromNoise,
  img2img: async () => (await import('./start-from-image.ts')).startFromImage,
  inpaint: async () => (await import('./start-from-mask.ts')).startFromMask,
};

export async function startOf(
  model: Model,
  request: GenerationRequest,
  inputs: AnyInputs,
  size: PictureSize,
): Promise<Start> {
  // By the table's type, a task's start takes that task's request.
  const start = (await starts[request.task]()) as StartOf<Task>;
  return start(model, request, inputs, size);
}
