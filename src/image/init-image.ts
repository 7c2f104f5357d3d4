/** The picture img2img starts from, as `load_img` of CompVis scripts/img2img.py prepares it. */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type Image, toRgb } from './image.ts';
import { imagesToTensor } from './image-tensor.ts';
import { type ResizeFilter, resize } from './resize.ts';

export interface InitImageOptions {
  /** Both sides are rounded down to a multiple of this. CompVis: 32; the autoencoder needs 8, a UNet of four resolutions 64. Default 32. */
  readonly multiple?: number;
  /** Default `lanczos`. */
  readonly filter?: ResizeFilter;
  /** Target size instead of the image's own, before rounding down. */
  readonly width?: number;
  readonly height?: number;
}

/**
 * The RGB image resized to a size the networks can work on.
 *
 * Alpha is dropped, not composited, as there; pass the image through `flatten` first for the other. Throws `invalid-argument` where a side
 * is smaller than `multiple`.
 */
export function fitInitImage(image: Image, options: InitImageOptions = {}): Image<3> {
  const { multiple = 32, filter = 'lanczos' } = options;
  const wantedWidth = options.width ?? image.width;
  const wantedHeight = options.height ?? image.height;
  const width = wantedWidth - (wantedWidth % multiple);
  const height = wantedHeight - (wantedHeight % multiple);
  if (width < multiple || height < multiple) {
    throw new StableDiffusionError(
      'invalid-argument',
      `An image of ${wantedWidth}x${wantedHeight} pixels is too small: each side must be at least ${multiple}. Give a larger image, or a width and height.`,
    );
  }
  return resize(toRgb(image), width, height, filter);
}

/** `load_img`: float32 [1, 3, height, width] in [-1, 1]. Errors as `fitInitImage`. */
export function initImageTensor(image: Image, options: InitImageOptions = {}): Tensor<'float32'> {
  return imagesToTensor([fitInitImage(image, options)]);
}
