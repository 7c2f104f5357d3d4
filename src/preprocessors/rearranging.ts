/** Preprocessors that keep a picture's colours and lose its composition or detail: blur, tile, colour grid, content shuffle. */

import { createImage, type Image } from '../image/image.ts';
import { remap } from '../image/opencv/remap.ts';
import { resizeBytes, roundHalfToEven } from '../image/opencv/resize-bytes.ts';
import { resizeDoubles } from '../image/opencv/resize-floats.ts';
import { NumpyRandomState } from '../random/numpy-random-state.ts';

/** Smaller by a rate, for the tile control network; below 1.1 the picture itself. */
export function tileResample(image: Image<3>, rate: number): Image<3> {
  if (rate < 1.1) return image;
  const side = (length: number): number => Math.max(1, Math.trunc(length / rate));
  return resizeBytes(image, side(image.width), side(image.height), 'area');
}

/** Flat fields of 64 x 64 pixels, the shorter side at `resolution`. */
export function colourGrid(image: Image<3>, resolution: number): Image<3> {
  const { width, height } = image;
  const long = (a: number, b: number): number => Math.max(1, roundHalfToEven((a / b) * resolution));
  const [w, h] = height < width ? [long(width, height), resolution] : [resolution, long(height, width)];
  const resized = resizeBytes(image, w, h, 'area');
  const fields = (side: number): number => Math.max(1, Math.floor(side / 64));
  return resizeBytes(resizeBytes(resized, fields(w), fields(h), 'cubic'), w, h, 'nearest');
}

export interface ShuffleDraws {
  /** Uniform numbers in [0, 1), float64 [rows, columns]. */
  readonly values: Float64Array;
  readonly rows: number;
  readonly columns: number;
}

/** The random numbers of one axis: a grid with one number every `spacing` pixels, and one more around. */
function draw(random: NumpyRandomState, image: Image, spacing: number): ShuffleDraws {
  const [rows, columns] = [Math.floor(image.height / spacing) + 2, Math.floor(image.width / spacing) + 2];
  return { values: random.rand([rows, columns]).data, rows, columns };
}

/** Smooth noise over the picture from its minimum 0 to its maximum 1, times `most`. */
function noiseDisk(
  { values, rows, columns }: ShuffleDraws,
  { width, height }: Image,
  spacing: number,
  most: number,
): Float32Array {
  const [wide, tall] = [width + 2 * spacing, height + 2 * spacing];
  const grown = resizeDoubles(values, { width: columns, height: rows }, { width: wide, height: tall });
  const inner = Float64Array.from(
    { length: width * height },
    (_, i) => grown[(Math.floor(i / width) + spacing) * wide + (i % width) + spacing] as number,
  );
  const lowest = inner.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const highest = inner.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) - lowest;
  return Float32Array.from(inner, (value) => (highest === 0 ? 0 : (value - lowest) / highest) * most);
}

export interface Shuffled {
  readonly image: Image<3>;
  /** The draws for columns and for rows, in their order. */
  readonly x: ShuffleDraws;
  readonly y: ShuffleDraws;
}

/** Content shuffle: every pixel from a place that smooth noise chooses. `spacing` is the noise's, 256 pixels in the extension. */
export function shuffle(image: Image<3>, seed: number, spacing = 256): Shuffled {
  const { width, height } = image;
  const random = new NumpyRandomState(seed);
  const x = draw(random, image, spacing);
  const y = draw(random, image, spacing);
  const [xs, ys] = [noiseDisk(x, image, spacing, width - 1), noiseDisk(y, image, spacing, height - 1)];
  return { image: createImage(width, height, 3, remap(image, width, height, xs, ys).data), x, y };
}
