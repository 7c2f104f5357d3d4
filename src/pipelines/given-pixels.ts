/** The image of a run as a tensor: a picture made to fit, or pixels as they were given. */

import { StableDiffusionError } from '../errors.ts';
import type { AnyInputs } from '../generation/inputs.ts';
import { imagesToTensor } from '../image/image-tensor.ts';
import { toRgb } from '../image/image.ts';
import { resize } from '../image/resize.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { PictureSize } from './picture-size.ts';

/** float32 [n, 3, h, w] in [-1, 1] of the wanted size, or as it is without one; undefined where no image was given. Throws `shape-mismatch`. */
export function givenPixels(
  { image, tensors: { pixels } }: AnyInputs,
  wanted: PictureSize | undefined,
): Tensor<'float32'> | undefined {
  if (pixels) {
    const [, channels, height, width] = pixels.shape;
    if (channels !== 3 || (wanted && (height !== wanted.height || width !== wanted.width)))
      throw new StableDiffusionError(
        'shape-mismatch',
        `The pixels have shape [${pixels.shape.join(', ')}]; they must be [images, 3, ${wanted?.height ?? 'height'}, ${wanted?.width ?? 'width'}].`,
      );
    return pixels;
  }
  if (!image) return undefined;
  const picture = toRgb(image);
  return imagesToTensor([wanted ? resize(picture, wanted.width, wanted.height, 'lanczos') : picture]);
}
