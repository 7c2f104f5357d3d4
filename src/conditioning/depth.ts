/** The depth of an image as a further channel of the latent (`LatentDepth2ImageDiffusion`; diffusers' `StableDiffusionDepth2ImgPipeline`). */

import { bicubicMatrix } from '../nn/resize-matrix.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { resizePlanes } from './resize-planes.ts';

export interface DepthChannelOptions {
  readonly rows: number;
  readonly columns: number;
  /** Added to the range before dividing: 0.001 in the original, 0 in diffusers. */
  readonly addend: number;
}

/** Depth [n, 1, h, w], near is large → [n, 1, rows, columns], each stretched to [-1, 1]. */
export function depthChannel(
  depth: Tensor<'float32'>,
  { rows, columns, addend }: DepthChannelOptions,
): Tensor<'float32'> {
  const [, , height = 1, width = 1] = depth.shape;
  const resized = resizePlanes(depth, bicubicMatrix(height, rows), bicubicMatrix(width, columns));
  const size = rows * columns;
  const data = resized.data.slice();
  for (let start = 0; start < data.length; start += size) {
    const own = data.subarray(start, start + size);
    const [least, most] = [own.reduce((a, b) => Math.min(a, b)), own.reduce((a, b) => Math.max(a, b))];
    const range = Math.fround(Math.fround(most - least) + addend);
    for (let i = 0; i < own.length; i++)
      own[i] = range === 0 ? 0 : Math.fround(Math.fround(2 * Math.fround((own[i] as number) - least)) / range) - 1;
  }
  return float32(resized.shape, data);
}
