/**
 * What DeepFloyd IF's later stages see beside the text: the smaller picture of the stage before, brought to this one's size and noised, and its
 * noise level (diffusers' `IFSuperResolutionPipeline` and its forms for images and masks).
 */

import { imageNoiseTable, noisedImage } from '../conditioning/image-noise.ts';
import { StableDiffusionError } from '../errors.ts';
import { imagesToTensor } from '../image/image-tensor.ts';
import { toRgb } from '../image/image.ts';
import type { AnyInputs } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { resizeBilinear } from '../tensor/resize-bilinear.ts';
import { int64, type Tensor } from '../tensor/tensor.ts';
import { repeated } from './initial-latent.ts';
import type { PictureSize } from './picture-size.ts';
import type { BatchStart } from './start.ts';

/** Adds the smaller picture to a batch's start. It draws its noise when called. */
export type Enlarge = (noise: SeededNoise, batch: number) => Pick<BatchStart, 'concat' | 'inputs'>;

/** The smaller picture of a run: given as such, or as the image where nothing else is to start from. Pixels in [-1, 1]. */
export function smallerPicture({ image, tensors }: AnyInputs): Tensor<'float32'> | undefined {
  return tensors.small ?? tensors.pixels ?? (image && imagesToTensor([toRgb(image)]));
}

export interface EnlargingOptions {
  readonly small: Tensor<'float32'> | undefined;
  readonly size: PictureSize;
  readonly level: number;
}

/** Undefined for models that see no smaller picture. Throws `invalid-argument` without one, or for one that the model does not take. */
export function enlargingOf(model: Model, { small, size, level }: EnlargingOptions): Enlarge | undefined {
  const config = model.imageCondition?.config;
  if (config?.kind !== 'enlarged') return undefined;
  if (!small)
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.label} enlarges the picture of a smaller stage, and none was given. Give it with --small, or make it with the first stage and --enlarge.`,
    );
  if (level > config.max_noise_level)
    throw new StableDiffusionError(
      'invalid-argument',
      `The noise level is ${level}; ${model.label} takes at most ${config.max_noise_level}.`,
    );
  const enlarged = resizeBilinear(small, size.height, size.width, { alignCorners: true });
  const table = imageNoiseTable(config);
  return (noise, batch) => {
    const pixels = repeated(enlarged, batch);
    return {
      concat: noisedImage(table, pixels, noise.normal(pixels.shape), level),
      inputs: { y: int64([batch], new Array<number>(batch).fill(level)) },
    };
  };
}
