/** A mask as a grey picture. */

import type { Float32 } from './grids.ts';

/** [b, h, w] or [h, w] as [b, h, w, 3]. */
export function maskPicture(mask: Float32): Float32 {
  const [h = 1, w = 1] = mask.shape.slice(-2);
  const data = Float32Array.from({ length: mask.data.length * 3 }, (_, i) => mask.data[Math.floor(i / 3)] as number);
  return { dtype: 'float32', shape: [mask.data.length / (h * w), h, w, 3], data };
}
