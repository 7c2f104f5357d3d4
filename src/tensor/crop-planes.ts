/** A part of images. */

import { float32, type Tensor } from './tensor.ts';

export interface Crop {
  readonly top?: number;
  readonly left?: number;
  readonly height: number;
  readonly width: number;
}

/** A rectangle of x [b, c, h, w], which has to lie within it. */
export function cropPlanes(x: Tensor<'float32'>, { top = 0, left = 0, height, width }: Crop): Tensor<'float32'> {
  const [b = 1, c = 1, h = 1, w = 1] = x.shape;
  if (h === height && w === width) return x;
  const data = new Float32Array(b * c * height * width);
  for (let plane = 0; plane < b * c; plane++)
    for (let row = 0; row < height; row++) {
      const from = (plane * h + top + row) * w + left;
      data.set(x.data.subarray(from, from + width), (plane * height + row) * width);
    }
  return float32([b, c, height, width], data);
}
