/** Soft inpainting's mask for laying the original over a result (extensions-builtin/soft-inpainting of A1111, v1.10.1). */

import type { Inpainting } from '../diffusion/sampler.ts';
import { changeMasks } from '../diffusion/soft-inpainting.ts';
import { gaussianBlur } from '../image/box-blur.ts';
import { fitImage } from '../image/fit-image.ts';
import { createImage, type Image } from '../image/image.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { PictureSize } from './picture-size.ts';

/** The mask at the latent's size as one at the picture's, without its steps: white shows the result. */
export function overlayMask(mask: Image<1>, width: number, height: number): Image<1> {
  return gaussianBlur(fitImage(mask, width, height, 'fill'), 4, 4);
}

/** For each picture of a batch, where it shows over the original; undefined without soft inpainting. */
export function shownMasks(
  inpainting: Inpainting | undefined,
  made: Tensor<'float32'>,
  { width, height }: PictureSize,
): readonly Image<1>[] | undefined {
  if (!inpainting?.soft) return undefined;
  const { mask, latent, soft } = inpainting;
  const painted = { ...mask, data: mask.data.map((kept) => 1 - kept) };
  const [rows = 1, columns = 1] = made.shape.slice(-2);
  return changeMasks(latent, made, painted, soft).map((plane) =>
    overlayMask(createImage(columns, rows, 1, plane), width, height),
  );
}
