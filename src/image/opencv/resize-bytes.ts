/**
 * Resampling of 8-bit pictures exactly as OpenCV 4.11's `cv2.resize` does it (modules/imgproc/src/resize.cpp): weights in fixed point of 11
 * bits, pixel centres at halves, edges repeated, no antialiasing but in `area`. Pillow's is `image/resize.ts`.
 */

import { StableDiffusionError } from '../../errors.ts';
import { type Channels, createImage, type Image } from '../image.ts';

export type OpencvFilter = 'nearest' | 'linear' | 'cubic' | 'area' | 'lanczos4';

const fround = Math.fround;
const coefficientBits = 11;

/** Inputs of each output position, `size` of each: positions repeated at the edges, and weights. */
interface Taps {
  readonly size: number;
  readonly positions: Int32Array;
  readonly weights: Float64Array;
}

/** Rounds to the nearest whole number, halves to the even one (`cvRound`). */
export function roundHalfToEven(value: number): number {
  const whole = Math.floor(value);
  const rest = value - whole;
  if (rest < 0.5) return whole;
  return rest > 0.5 || whole % 2 !== 0 ? whole + 1 : whole;
}

function cubicWeights(x: number): number[] {
  const a = -0.75;
  const far = (t: number): number =>
    fround(fround(fround(fround(fround(fround(a * t) - 5 * a) * t) + 8 * a) * t) - 4 * a);
  const near = (t: number): number => fround(fround(fround(fround(fround((a + 2) * t) - (a + 3)) * t) * t) + 1);
  const first = far(fround(x + 1));
  const second = near(x);
  const third = near(fround(1 - x));
  return [first, second, third, fround(fround(fround(1 - first) - second) - third)];
}

/** The same calculated in float64, as the vendor's library has them. */
function exactCubicWeights(x: number): number[] {
  const a = -0.75;
  const first = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
  const near = (t: number): number => ((a + 2) * t - (a + 3)) * t * t + 1;
  const [second, third] = [near(x), near(1 - x)];
  return [first, second, third, 1 - first - second - third].map(fround);
}

const half = Math.SQRT1_2;
const lanczosTurns: readonly (readonly [number, number])[] = [
  [1, 0],
  [-half, -half],
  [0, 1],
  [half, -half],
  [-1, 0],
  [half, half],
  [0, -1],
  [-half, half],
];

function lanczosWeights(x: number): number[] {
  const start = (-(x + 3) * Math.PI) / 4;
  const [sine, cosine] = [Math.sin(start), Math.cos(start)];
  const raw = lanczosTurns.map(([s, c], i) => {
    const distance = fround(fround(x + 3) - i);
    if (Math.abs(distance) < 1e-6) return fround(1e30);
    const y = (-distance * Math.PI) / 4;
    return fround((s * sine + c * cosine) / (y * y));
  });
  const inverse = fround(1 / raw.reduce((sum, weight) => fround(sum + weight), 0));
  return raw.map((weight) => fround(weight * inverse));
}

const kernels: { readonly [F in 'linear' | 'cubic' | 'lanczos4']: (fraction: number) => number[] } = {
  linear: (x) => [fround(1 - x), x],
  cubic: cubicWeights,
  lanczos4: lanczosWeights,
};

/** Taps of the interpolating filters along one axis; `area` here is OpenCV's form for growing, linear about the cells' edges. With `exactCentres` the cubic filter's centres and weights are calculated in float64. */
export function interpolationTaps(
  filter: 'linear' | 'cubic' | 'lanczos4' | 'area',
  from: number,
  to: number,
  exactCentres = false,
): Taps {
  const inverse = to / from;
  const scale = 1 / inverse;
  const kernel =
    exactCentres && filter === 'cubic' ? exactCubicWeights : kernels[filter === 'area' ? 'linear' : filter];
  const size = kernel(0).length;
  const positions = new Int32Array(to * size);
  const weights = new Float64Array(to * size);
  for (let out = 0; out < to; out++) {
    let start: number;
    let fraction: number;
    if (filter === 'area') {
      start = Math.floor(out * scale);
      fraction = fround(out + 1 - (start + 1) * inverse);
      fraction = fraction <= 0 ? 0 : fround(fraction - Math.floor(fraction));
    } else {
      const exact = (out + 0.5) * scale - 0.5;
      const centre = exactCentres ? exact : fround(exact);
      start = Math.floor(centre);
      fraction = fround(centre - start);
    }
    for (const [k, weight] of kernel(fraction).entries()) {
      positions[out * size + k] = Math.min(Math.max(start - (size / 2 - 1) + k, 0), from - 1);
      weights[out * size + k] = weight;
    }
  }
  return { size, positions, weights };
}

/** Both passes in whole numbers: weights of 11 bits an axis, one rounding at the end; linear keeps fewer bits between, as there. */
function interpolate({ width, height, channels, data }: Image, columns: Taps, rows: Taps, linear: boolean): Uint8Array {
  const outWidth = columns.positions.length / columns.size;
  const outHeight = rows.positions.length / rows.size;
  const fixed = ({ weights }: Taps): Int32Array =>
    Int32Array.from(weights, (weight) => roundHalfToEven(fround(weight * 2 ** coefficientBits)));
  const [across, down] = [fixed(columns), fixed(rows)];
  const line = outWidth * channels;
  const middle = new Int32Array(height * line);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < outWidth; x++)
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = x * columns.size; k < (x + 1) * columns.size; k++)
          sum +=
            (across[k] as number) * (data[(y * width + (columns.positions[k] as number)) * channels + c] as number);
        middle[y * line + x * channels + c] = sum;
      }
  const out = new Uint8ClampedArray(outHeight * line);
  for (let y = 0; y < outHeight; y++)
    for (let i = 0; i < line; i++) {
      let sum = 0;
      for (let k = y * rows.size; k < (y + 1) * rows.size; k++) {
        const value = middle[(rows.positions[k] as number) * line + i] as number;
        sum += linear ? ((down[k] as number) * (value >> 4)) >> 16 : (down[k] as number) * value;
      }
      out[y * line + i] = linear ? (sum + 2) >> 2 : Math.floor((sum + 2 ** 21) / 2 ** 22);
    }
  return new Uint8Array(out.buffer);
}

/** Both passes in float32, as the vendor's library inside OpenCV has the cubic filter. */
function interpolateFloats({ width, height, channels, data }: Image, columns: Taps, rows: Taps): Uint8Array {
  const line = (columns.positions.length / columns.size) * channels;
  const outHeight = rows.positions.length / rows.size;
  const middle = new Float32Array(height * line);
  for (let y = 0; y < height; y++)
    for (let i = 0; i < line; i++) {
      const x = Math.floor(i / channels);
      const c = i % channels;
      let sum = 0;
      for (let k = x * columns.size; k < (x + 1) * columns.size; k++) {
        const value = data[(y * width + (columns.positions[k] as number)) * channels + c] as number;
        sum += (columns.weights[k] as number) * value;
      }
      middle[y * line + i] = sum;
    }
  const out = new Uint8ClampedArray(outHeight * line);
  for (let y = 0; y < outHeight; y++)
    for (let i = 0; i < line; i++) {
      const part = (k: number): number => {
        const at = y * rows.size + k;
        return fround((rows.weights[at] as number) * (middle[(rows.positions[at] as number) * line + i] as number));
      };
      out[y * line + i] = roundHalfToEven(fround(fround(part(0) + part(1)) + fround(part(2) + part(3))));
    }
  return new Uint8Array(out.buffer);
}

interface Cell {
  readonly at: number[];
  readonly share: number[];
}

/** The part of each input pixel that an output pixel covers when shrinking (`computeResizeAreaTab`). */
function areaCells(from: number, to: number): Cell[] {
  const scale = 1 / (to / from);
  return Array.from({ length: to }, (_, out) => {
    const begin = out * scale;
    const end = begin + scale;
    const width = Math.min(scale, from - begin);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(begin), last);
    const cell: Cell = { at: [], share: [] };
    const add = (position: number, share: number): void => {
      cell.at.push(position);
      cell.share.push(fround(share));
    };
    if (first - begin > 1e-3) add(first - 1, (first - begin) / width);
    for (let i = first; i < last; i++) add(i, 1 / width);
    if (end - last > 1e-3) add(last, Math.min(end - last, 1, width) / width);
    return cell;
  });
}

/** Means over cells, in float32. */
function shrink({ width, channels, data, height }: Image, outWidth: number, outHeight: number): Uint8Array {
  const [columns, rows] = [areaCells(width, outWidth), areaCells(height, outHeight)];
  const line = outWidth * channels;
  const out = new Uint8ClampedArray(outHeight * line);
  const sums = new Float32Array(line);
  for (const [y, { at, share }] of rows.entries()) {
    sums.fill(0);
    for (const [n, row] of at.entries()) {
      const beta = share[n] as number;
      for (const [x, cell] of columns.entries())
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (const [k, position] of cell.at.entries())
            sum = fround(
              sum + fround((data[(row * width + position) * channels + c] as number) * (cell.share[k] as number)),
            );
          sums[x * channels + c] = fround((sums[x * channels + c] as number) + fround(beta * sum));
        }
    }
    for (let i = 0; i < line; i++) out[y * line + i] = roundHalfToEven(sums[i] as number);
  }
  return new Uint8Array(out.buffer);
}

/** Means over whole blocks of pixels: sums of integers; two by two rounds halves up, as there. */
function shrinkWhole(
  { width, channels, data }: Image,
  outWidth: number,
  outHeight: number,
  w: number,
  h: number,
): Uint8Array {
  const out = new Uint8Array(outHeight * outWidth * channels);
  const scale = fround(1 / (w * h));
  for (let y = 0, to = 0; y < outHeight; y++)
    for (let x = 0; x < outWidth; x++)
      for (let c = 0; c < channels; c++, to++) {
        let sum = 0;
        for (let row = y * h; row < (y + 1) * h; row++)
          for (let column = x * w; column < (x + 1) * w; column++)
            sum += data[(row * width + column) * channels + c] as number;
        out[to] = w === 2 && h === 2 ? (sum + 2) >> 2 : roundHalfToEven(fround(sum * scale));
      }
  return out;
}

function nearest({ width, height, channels, data }: Image, outWidth: number, outHeight: number): Uint8Array {
  const out = new Uint8Array(outHeight * outWidth * channels);
  const [scaleX, scaleY] = [1 / (outWidth / width), 1 / (outHeight / height)];
  for (let y = 0, to = 0; y < outHeight; y++) {
    const row = Math.min(Math.floor(y * scaleY), height - 1);
    for (let x = 0; x < outWidth; x++) {
      const from = (row * width + Math.min(Math.floor(x * scaleX), width - 1)) * channels;
      for (let c = 0; c < channels; c++) out[to++] = data[from + c] as number;
    }
  }
  return out;
}

/** `cv2.resize(image, (width, height), interpolation)` of 8-bit pictures. Throws `invalid-argument` for impossible sizes. */
export function resizeBytes<C extends Channels>(
  image: Image<C>,
  width: number,
  height: number,
  filter: OpencvFilter,
): Image<C> {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `A picture cannot be resized to ${width}x${height}: width and height are whole numbers from 1.`,
    );
  const made = (data: Uint8Array): Image<C> => createImage(width, height, image.channels, data);
  if (width === image.width && height === image.height) return made(image.data.slice());
  if (filter === 'nearest') return made(nearest(image, width, height));
  const [w, h] = [image.width / width, image.height / height];
  const whole = Number.isInteger(w) && Number.isInteger(h);
  const shrinking = w >= 1 && h >= 1;
  if ((filter === 'area' && shrinking) || (filter === 'linear' && w === 2 && h === 2))
    return made(whole ? shrinkWhole(image, width, height, w, h) : shrink(image, width, height));
  const taps = (from: number, to: number): Taps => interpolationTaps(filter, from, to, filter === 'cubic');
  if (filter === 'cubic') return made(interpolateFloats(image, taps(image.width, width), taps(image.height, height)));
  const linear = filter === 'linear' || filter === 'area';
  return made(interpolate(image, taps(image.width, width), taps(image.height, height), linear));
}
