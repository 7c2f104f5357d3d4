/** Reading a picture at other places, as OpenCV 4.11's `cv2.remap` with INTER_LINEAR: positions in 1/32 pixel, one colour outside. */

import { type Channels, createImage, type Image } from '../image.ts';
import { roundHalfToEven } from './resize-bytes.ts';

/** `xs`, `ys`: float32 positions in the picture of each pixel of the result, [height * width]. `outside`: its samples; black by default. */
export function remap<C extends Channels>(
  image: Image<C>,
  width: number,
  height: number,
  xs: Float32Array,
  ys: Float32Array,
  outside: readonly number[] = [],
): Image<C> {
  const { channels, data } = image;
  const out = createImage(width, height, channels);
  const at = (x: number, y: number, c: number): number =>
    x < 0 || y < 0 || x >= image.width || y >= image.height
      ? (outside[c] ?? 0)
      : (data[(y * image.width + x) * channels + c] as number);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [roundHalfToEven((xs[i] as number) * 32), roundHalfToEven((ys[i] as number) * 32)];
    const [column, row, right, down] = [x >> 5, y >> 5, x & 31, y & 31];
    for (let c = 0; c < channels; c++) {
      const upper = at(column, row, c) * (32 - right) + at(column + 1, row, c) * right;
      const lower = at(column, row + 1, c) * (32 - right) + at(column + 1, row + 1, c) * right;
      out.data[i * channels + c] = (upper * (32 - down) + lower * down + 512) >> 10;
    }
  }
  return out;
}
