/** Gaussian blur of float64 samples as OpenCV 4.11's `cv2.GaussianBlur` (modules/imgproc/src/filter.simd.hpp), edges mirrored. */

import { type BlurWindow, mirroredPositions, weightsOf } from './gaussian-blur.ts';

/** One channel [height, width] with one window for both axes. Sums run in OpenCV's order: along rows from the left, along columns from the middle. */
export function blurDoubles(data: Float64Array, width: number, height: number, window: BlurWindow): Float64Array {
  const weights = Float64Array.from(weightsOf(window));
  const reach = weights.length >> 1;
  const across = mirroredPositions(width, reach);
  const middle = new Float64Array(data.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++)
        sum += (weights[k] as number) * (data[y * width + (across[x + k] as number)] as number);
      middle[y * width + x] = sum;
    }
  const down = mirroredPositions(height, reach);
  const out = new Float64Array(data.length);
  for (let y = 0; y < height; y++) {
    const row = out.subarray(y * width, (y + 1) * width);
    for (let k = 0; k <= reach; k++) {
      const weight = weights[reach + k] as number;
      const [above, below] = [(down[y + reach - k] as number) * width, (down[y + reach + k] as number) * width];
      for (let x = 0; x < width; x++) {
        const value = middle[below + x] as number;
        row[x] = (row[x] as number) + weight * (k === 0 ? value : value + (middle[above + x] as number));
      }
    }
  }
  return out;
}
