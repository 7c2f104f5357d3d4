/** A small picture of a latent during sampling, one pixel for each element, by the linear map of Stable Diffusion v1's latents. */

import type { Image } from '../../image/image.ts';
import { linearPreview } from '../../model/preview.ts';
import { takeBatch } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { ModelValue } from '../values/model.ts';

/** The first picture of the batch. */
export async function previewOf(_model: ModelValue, denoised: Tensor<'float32'>): Promise<Image> {
  return linearPreview(takeBatch(denoised, 0, 1))[0] as Image;
}
