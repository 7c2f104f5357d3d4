/** Affine maps of pictures as OpenCV's `cv2.warpAffine` with INTER_LINEAR: positions in 1/32 pixel, rounded from 1/1024. */

import { floatImage, type FloatImage } from '../float-image.ts';
import type { Channels, Image } from '../image.ts';
import { remap } from './remap.ts';
import { roundHalfToEven } from './resize-bytes.ts';

/** x' = a x + b y + c, y' = d x + e y + f: rows of a 2x3 matrix. */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** `cv2.invertAffineTransform`. */
export function inverseOf([a, b, c, d, e, f]: Affine): Affine {
  const determinant = a * e - b * d;
  const scale = determinant === 0 ? 0 : 1 / determinant;
  const [p, q, r, s] = [e * scale, -b * scale, -d * scale, a * scale];
  return [p, q, -(p * c + q * f), r, s, -(r * c + s * f)];
}

interface Positions {
  readonly xs: Float32Array;
  readonly ys: Float32Array;
}

/** Where each pixel of the result lies in the picture. */
function positionsOf(matrix: Affine, width: number, height: number): Positions {
  const [a, b, c, d, e, f] = inverseOf(matrix);
  const [xs, ys] = [new Float32Array(width * height), new Float32Array(width * height)];
  for (let y = 0, i = 0; y < height; y++) {
    const rowX = roundHalfToEven((b * y + c) * 1024) + 16;
    const rowY = roundHalfToEven((e * y + f) * 1024) + 16;
    for (let x = 0; x < width; x++, i++) {
      xs[i] = Math.floor((rowX + roundHalfToEven(a * x * 1024)) / 32) / 32;
      ys[i] = Math.floor((rowY + roundHalfToEven(d * x * 1024)) / 32) / 32;
    }
  }
  return { xs, ys };
}

/** `matrix` maps pixels of the picture to pixels of the result. `outside`: the samples beyond the picture; black by default. */
export function warpAffine<C extends Channels>(
  image: Image<C>,
  matrix: Affine,
  width: number,
  height: number,
  outside?: readonly number[],
): Image<C> {
  const { xs, ys } = positionsOf(matrix, width, height);
  return remap(image, width, height, xs, ys, outside);
}

/** A picture of ones of this size under the map, 0 outside: how much of each pixel of the result it covers. */
export function warpedCover(
  from: Pick<Image, 'width' | 'height'>,
  matrix: Affine,
  width: number,
  height: number,
): FloatImage {
  const { xs, ys } = positionsOf(matrix, width, height);
  const inside = (at: number, length: number): number => {
    const low = Math.floor(at);
    const share = at - low;
    return (low >= 0 && low < length ? 1 - share : 0) + (low + 1 >= 0 && low + 1 < length ? share : 0);
  };
  const data = xs.map((x, i) => Math.fround(inside(x, from.width) * inside(ys[i] as number, from.height)));
  return floatImage(width, height, 1, data);
}

/** `warpAffine` of one channel of float64 samples, [from height, from width]; 0 beyond them. */
export function warpDoubles(
  data: Float64Array,
  from: Pick<Image, 'width' | 'height'>,
  matrix: Affine,
  width: number,
  height: number,
): Float64Array {
  const { xs, ys } = positionsOf(matrix, width, height);
  const at = (x: number, y: number): number =>
    x < 0 || y < 0 || x >= from.width || y >= from.height ? 0 : (data[y * from.width + x] as number);
  const out = new Float64Array(width * height);
  for (let i = 0; i < out.length; i++) {
    const [place, line] = [xs[i] as number, ys[i] as number];
    const [x, y] = [Math.floor(place), Math.floor(line)];
    const [right, down] = [place - x, line - y];
    const upper = at(x, y) * ((1 - right) * (1 - down)) + at(x + 1, y) * (right * (1 - down));
    out[i] = upper + at(x, y + 1) * ((1 - right) * down) + at(x + 1, y + 1) * (right * down);
  }
  return out;
}
