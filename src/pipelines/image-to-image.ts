/** Image to image (CompVis's scripts/img2img.py): SDEdit, Meng et al. 2022 (arXiv 2108.01073). */

import type { ImageToImageOptions } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import type { Pipeline } from './events.ts';
import { generate } from './generate.ts';

/**
 * Generates pictures from a prompt and an image. With an InstructPix2Pix model the prompt is an editing instruction.
 * @throws `invalid-argument`, `too-large`, `aborted`, `not-finite`, `engine-failed`
 */
export function imageToImage(model: Model, options: ImageToImageOptions): Pipeline {
  return generate(model, { ...options, task: 'img2img' });
}
