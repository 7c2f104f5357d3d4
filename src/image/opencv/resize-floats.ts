/**
 * Resampling of float32 pictures as OpenCV's `cv2.resize` does it (modules/imgproc/src/resize.cpp, 4.11): no antialiasing but in `area`, pixel centres at
 * halves, edges repeated. Unlike Pillow's (image/resize.ts), which super-resolution must not be trained on alone.
 */

import { StableDiffusionError } from '../../errors.ts';
import { floatImage, type FloatImage } from '../float-image.ts';
import { interpolationTaps, type OpencvFilter } from './resize-bytes.ts';

/** The inputs of each output position: `counts[i]` input positions, repeated at the edges, with their weights. */
interface Taps {
  readonly positions: readonly (readonly number[])[];
  readonly weights: readonly (readonly number[])[];
}

const fround = Math.fround;
const a = -0.75;

/** Weights of the pixels around a fraction, first to last. */
const kernels: { readonly [F in 'linear' | 'cubic' | 'lanczos4']: (fraction: number) => number[] } = {
  linear: (x) => [1 - x, x],
  cubic: (x) => {
    const first = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
    const second = ((a + 2) * x - (a + 3)) * x * x + 1;
    const third = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
    return [first, second, third, 1 - first - second - third];
  },
  lanczos4: (x) => {
    if (x < 1.1920929e-7) return [0, 0, 0, 1, 0, 0, 0, 0];
    const weights = Array.from({ length: 8 }, (_, i) => {
      const y = -(x + 3 - i) * (Math.PI / 4);
      return (Math.sin(y) * Math.sin(4 * y)) / (y * y);
    });
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight) => weight / sum);
  },
};

/** Positions and weights of a size change along one axis; `shrinking`: both axes become no longer. */
function tapsOf(filter: OpencvFilter, from: number, to: number, shrinking: boolean): Taps {
  const scale = 1 / (to / from);
  const positions: number[][] = [];
  const weights: number[][] = [];
  for (let out = 0; out < to; out++) {
    if (filter === 'nearest') {
      positions.push([Math.min(Math.floor(out * scale), from - 1)]);
      weights.push([1]);
    } else if (filter === 'area' && shrinking) {
      const { at, weight } = cell(out, from, scale);
      positions.push(at);
      weights.push(weight);
    } else {
      let start: number;
      let fraction: number;
      if (filter === 'area') {
        start = Math.floor(out * scale);
        fraction = fround(out + 1 - (start + 1) * (to / from));
        fraction = fraction <= 0 ? 0 : fraction - Math.floor(fraction);
      } else {
        const centre = fround((out + 0.5) * scale - 0.5);
        start = Math.floor(centre);
        fraction = fround(centre - start);
      }
      const row = kernels[filter === 'area' ? 'linear' : filter](fraction).map(fround);
      const first = start - (row.length / 2 - 1);
      positions.push(row.map((_, k) => Math.min(Math.max(first + k, 0), from - 1)));
      weights.push(row);
    }
  }
  return { positions, weights };
}

/** The part of each input pixel that output pixel `out` covers (computeResizeAreaTab). */
function cell(out: number, from: number, scale: number): { at: number[]; weight: number[] } {
  const begin = out * scale;
  const end = begin + scale;
  const width = Math.min(scale, from - begin);
  const last = Math.min(Math.floor(end), from - 1);
  const first = Math.min(Math.ceil(begin), last);
  const at: number[] = [];
  const weight: number[] = [];
  const add = (position: number, share: number): void => {
    at.push(position);
    weight.push(fround(share));
  };
  if (first - begin > 1e-3) add(first - 1, (first - begin) / width);
  for (let i = first; i < last; i++) add(i, 1 / width);
  if (end - last > 1e-3) add(last, Math.min(end - last, 1, width) / width);
  return { at, weight };
}

/** `cv2.resize(image, (width, height), interpolation)` of float32 pictures. Values may leave [0, 1] under `cubic` and `lanczos4`. */
export function resizeOpencv(image: FloatImage, width: number, height: number, filter: OpencvFilter): FloatImage {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A picture cannot be resized to ${width}x${height}: width and height are whole numbers from 1.`,
    );
  }
  const { channels } = image;
  const shrinking = width <= image.width && height <= image.height;
  const rows = applyTaps(
    image.data,
    image.height,
    image.width,
    channels,
    tapsOf(filter, image.width, width, shrinking),
  );
  return floatImage(
    width,
    height,
    channels,
    applyTaps(rows, 1, image.height, width * channels, tapsOf(filter, image.height, height, shrinking)),
  );
}

interface Sides {
  readonly width: number;
  readonly height: number;
}

/** `cv2.resize` of one channel of float64 samples by INTER_CUBIC or INTER_LINEAR: [from height, from width] to [to height, to width]. */
export function resizeDoubles(
  data: Float64Array,
  from: Sides,
  to: Sides,
  filter: 'cubic' | 'linear' = 'cubic',
): Float64Array {
  const [columns, rows] = [
    interpolationTaps(filter, from.width, to.width),
    interpolationTaps(filter, from.height, to.height),
  ];
  const { size } = columns;
  const middle = new Float64Array(from.height * to.width);
  for (let y = 0, i = 0; y < from.height; y++)
    for (let x = 0; x < to.width; x++, i++)
      for (let k = x * size; k < (x + 1) * size; k++)
        middle[i] =
          (middle[i] as number) +
          (data[y * from.width + (columns.positions[k] as number)] as number) * (columns.weights[k] as number);
  const out = new Float64Array(to.height * to.width);
  for (let y = 0, i = 0; y < to.height; y++)
    for (let x = 0; x < to.width; x++, i++)
      for (let k = y * size; k < (y + 1) * size; k++)
        out[i] =
          (out[i] as number) +
          (middle[(rows.positions[k] as number) * to.width + x] as number) * (rows.weights[k] as number);
  return out;
}

/** Along the middle axis of [outer, length, inner]. */
function applyTaps(
  data: Float32Array,
  outer: number,
  length: number,
  inner: number,
  { positions, weights }: Taps,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(outer * positions.length * inner);
  const sums = new Float64Array(inner);
  for (let o = 0, to = 0; o < outer; o++) {
    for (const [i, at] of positions.entries()) {
      sums.fill(0);
      for (const [k, position] of at.entries()) {
        const weight = weights[i]?.[k] as number;
        const from = (o * length + position) * inner;
        for (let j = 0; j < inner; j++) sums[j] = (sums[j] as number) + weight * (data[from + j] as number);
      }
      out.set(sums, to);
      to += inner;
    }
  }
  return out;
}
