/** The picture and the mask that runs of the families set start from. */

import { join } from 'node:path';
import { createImage, type Image } from '../../src/image/image.ts';
import { pick, readTensors } from '../tensors.ts';

export function recordedPictures(folder: string): { readonly image: Image<3>; readonly mask: Image<1> } {
  const tensors = readTensors(join(folder, 'runs/pictures.safetensors'));
  const { shape, data } = pick(tensors, 'image_u8');
  const [, height = 1, width = 1] = shape;
  const plane = height * width;
  const pixels = Uint8Array.from({ length: 3 * plane }, (_, i) => Number(data[(i % 3) * plane + Math.floor(i / 3)]));
  const mask = pick(tensors, 'mask_u8');
  return {
    image: createImage(width, height, 3, pixels),
    mask: createImage(mask.shape[1] ?? 1, mask.shape[0] ?? 1, 1, Uint8Array.from(mask.data as Uint8Array)),
  };
}
