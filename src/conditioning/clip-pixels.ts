/**
 * A picture as the image encoder of SD 2.x's variation models sees it (`FrozenOpenCLIPImageEmbedder.preprocess`): kornia's bicubic resize with
 * aligned corners, blurred first where it shrinks, then CLIP's mean and deviation.
 */

import { clipImageMean, clipImageStd } from '../image/clip-image.ts';
import { antialiasMatrix, bicubicAlignedMatrix, composeMatrices, type ResizeMatrix } from '../nn/resize-matrix.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { resizePlanes } from './resize-planes.ts';

/** Pixels [n, 3, h, w] in [-1, 1] → [n, 3, side, side], normalised. */
export function clipPixels(pixels: Tensor<'float32'>, side: number): Tensor<'float32'> {
  const [, , height = 1, width = 1] = pixels.shape;
  const shrinks = Math.max(height, width) > side;
  const matrix = (size: number): ResizeMatrix => {
    const bicubic = bicubicAlignedMatrix(size, side);
    return shrinks ? composeMatrices(bicubic, antialiasMatrix(size, size / side)) : bicubic;
  };
  const resized = resizePlanes(pixels, matrix(height), matrix(width));
  const plane = side * side;
  const data = resized.data.map((value, i) => {
    const channel = Math.floor(i / plane) % 3;
    const share = Math.fround(Math.fround(value + 1) / 2);
    const mean = Math.fround(clipImageMean[channel] as number);
    return Math.fround(share - mean) / Math.fround(clipImageStd[channel] as number);
  });
  return float32(resized.shape, data);
}
