/** A mask as a grey picture. */

import type { Float32 } from './grids.ts';

/** [b, h, w] or [h, w] as [b, h, w, 3]. */
export function maskPicture(mask: Float32): Float32 {
  const [h = 1, w = 1] = mask.shape.slice(-2);
  const data = new Float32Array(mask.data.length * 3);
  for (let i = 0, to = 0; i < mask.data.length; i++) {
    const value = mask.data[i] as number;
    data[to++] = value;
    data[to++] = value;
    data[to++] = value;
  }
  return { dtype: 'float32', shape: [mask.data.length / (h * w), h, w, 3], data };
}
