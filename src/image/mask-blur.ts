/** The blur of A1111's masks: `cv2.GaussianBlur` with a window of `2 * int(2.5 * sigma + 0.5) + 1` pixels (modules/processing.py, v1.10.1). */

import type { Image } from './image.ts';
import { type BlurWindow, blurBytesBy } from './opencv/gaussian-blur.ts';

/** The window of a blur: two and a half deviations to each side. */
const windowOf = (sigma: number): BlurWindow => ({ size: 2 * Math.trunc(2.5 * sigma + 0.5) + 1, sigma });

/** The mask's edge softened, along x and then along y. A deviation of 0 leaves an axis as it is. */
export function blurMask(mask: Image<1>, sigmaX: number, sigmaY: number): Image<1> {
  const across = sigmaX > 0 ? blurBytesBy(mask, windowOf(sigmaX)) : mask;
  return sigmaY > 0 ? blurBytesBy(across, undefined, windowOf(sigmaY)) : across;
}
