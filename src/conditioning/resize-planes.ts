/** Pictures as tensors resized by one matrix an axis, outside of a network. */

import type { ResizeMatrix } from '../nn/resize-matrix.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

/** The weights that are not 0 of each output pixel. */
function taps(matrix: ResizeMatrix): (readonly (readonly [from: number, weight: number])[])[] {
  return matrix.map((row) => row.flatMap((weight, from) => (weight === 0 ? [] : [[from, weight] as const])));
}

/** [b, c, h, w] with rows [h', h] and columns [w', w] → [b, c, h', w'], each axis rounded to float32. */
export function resizePlanes(x: Tensor<'float32'>, rows: ResizeMatrix, columns: ResizeMatrix): Tensor<'float32'> {
  const [b = 1, c = 1, height = 1, width = 1] = x.shape;
  const [down, across] = [taps(rows), taps(columns)];
  const out = new Float32Array(b * c * down.length * across.length);
  const wide = new Float32Array(height * across.length);
  for (let plane = 0; plane < b * c; plane++) {
    const from = plane * height * width;
    for (let y = 0; y < height; y++)
      for (const [at, row] of across.entries())
        wide[y * across.length + at] = row.reduce(
          (sum, [i, weight]) => sum + weight * (x.data[from + y * width + i] as number),
          0,
        );
    const to = plane * down.length * across.length;
    for (const [y, column] of down.entries())
      for (let at = 0; at < across.length; at++)
        out[to + y * across.length + at] = column.reduce(
          (sum, [i, weight]) => sum + weight * (wide[i * across.length + at] as number),
          0,
        );
  }
  return float32([b, c, down.length, across.length], out);
}
