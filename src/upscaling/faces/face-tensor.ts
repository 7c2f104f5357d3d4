/** Pictures as the networks for faces see them. */

import type { Image } from '../../image/image.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';

/** [1, 3, h, w] in [-1, 1]. */
export function imageToTensor({ width, height, data }: Image<3>): Tensor<'float32'> {
  const size = width * height;
  const x = new Float32Array(3 * size);
  for (let i = 0; i < size; i++)
    for (let c = 0; c < 3; c++) x[c * size + i] = Math.fround((data[3 * i + c] as number) / 255 - 0.5) / 0.5;
  return float32([1, 3, height, width], x);
}
