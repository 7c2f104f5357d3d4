/** Image to image (CompVis's scripts/img2img.py): SDEdit, Meng et al. 2022 (arXiv 2108.01073). */

import type { ImageToImageOptions } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import type { Pipeline } from './events.ts';
import { generate } from './generate.ts';

/**
 * Makes pictures of a prompt that start from an image. With an InstructPix2Pix model the prompt says what to change.
 * @throws `invalid-argument`, `too-large`, `aborted`, `not-finite`, `engine-failed`
 */
export function imageToImage(model: Model, options: ImageToImageOptions): Pipeline {
  return generate(model, { ...options, task: 'img2img' });
}
