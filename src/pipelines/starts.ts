/** The starts by task: the only place that distinguishes tasks. */

import type { AnyInputs } from '../generation/inputs.ts';
import type { GenerationRequest, Task } from '../generation/request.ts';
import type { Model } from '../model/model.ts';
import type { PictureSize } from './picture-size.ts';
import type { Start, StartOf } from './start.ts';
import { startFromImage } from './start-from-image.ts';
import { startFromMask } from './start-from-mask.ts';
import { startFromNoise } from './start-from-noise.ts';

const starts: { readonly [T in Task]: StartOf<T> } = {
  txt2img: startFromNoise,
  img2img: startFromImage,
  inpaint: startFromMask,
};

export async function startOf(
  model: Model,
  request: GenerationRequest,
  inputs: AnyInputs,
  size: PictureSize,
): Promise<Start> {
  // By the table's type, a task's start takes that task's request.
  return (starts[request.task] as StartOf<Task>)(model, request, inputs, size);
}
