/** Soft inpainting's mask for laying the original over a result (extensions-builtin/soft-inpainting of A1111, v1.10.1). */

import { gaussianBlur } from '../image/box-blur.ts';
import { fitImage } from '../image/fit-image.ts';
import type { Image } from '../image/image.ts';

/** The mask at the latent's size as one at the picture's, without its steps: white shows the result. */
export function overlayMask(mask: Image<1>, width: number, height: number): Image<1> {
  return gaussianBlur(fitImage(mask, width, height, 'fill'), 4, 4);
}
