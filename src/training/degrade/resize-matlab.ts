/**
 * MATLAB's bicubic `imresize` as KAIR and LDM have it (`imresize_np` of utils_image.py), in single precision. When shrinking the kernel
 * widens, unless turned off; edges are mirrored with their own pixel. Weights' outer columns go away where any of them is 0, a quirk
 * of the original that is kept.
 */

import { StableDiffusionError } from '../../errors.ts';
import { floatImage, type FloatImage } from '../../image/float-image.ts';

const fround = Math.fround;

function cubic(value: number): number {
  const x = Math.abs(value);
  const x2 = fround(x * x);
  const x3 = fround(x2 * x);
  if (x <= 1) return fround(fround(fround(1.5 * x3) - fround(2.5 * x2)) + 1);
  if (x > 2) return 0;
  return fround(fround(fround(fround(-0.5 * x3) + fround(2.5 * x2)) - fround(4 * x)) + 2);
}

interface Contributions {
  readonly outLength: number;
  readonly count: number;
  /** First input position of each output position; may lie before the picture. */
  readonly starts: Int32Array;
  readonly weights: Float32Array;
}

function contributions(outLength: number, scale: number, antialiasing: boolean): Contributions {
  const shrinking = scale < 1 && antialiasing;
  const width = shrinking ? 4 / scale : 4;
  const taps = Math.ceil(width) + 2;
  const factor = shrinking ? fround(scale) : 1;
  const starts = new Int32Array(outLength);
  const all = new Float32Array(outLength * taps);
  let firstHasZero = false;
  let lastHasZero = false;
  for (let i = 0; i < outLength; i++) {
    const centre = fround(fround((i + 1) / fround(scale)) + fround(0.5 * (1 - 1 / scale)));
    const left = Math.floor(fround(centre - fround(width / 2)));
    const row = all.subarray(i * taps, (i + 1) * taps);
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      const weight = cubic(fround(fround(centre - (left + k)) * factor));
      row[k] = factor * weight;
      sum = fround(sum + (row[k] as number));
    }
    for (let k = 0; k < taps; k++) row[k] = (row[k] as number) / sum;
    firstHasZero ||= row[0] === 0;
    lastHasZero ||= row[taps - 1] === 0;
    starts[i] = left - 1;
  }
  const skip = firstHasZero ? 1 : 0;
  const count = firstHasZero || lastHasZero ? taps - 2 : taps;
  const weights = new Float32Array(outLength * count);
  for (let i = 0; i < outLength; i++) weights.set(all.subarray(i * taps + skip, i * taps + skip + count), i * count);
  return { outLength, count, starts: starts.map((start) => start + skip), weights };
}

/** Both axes by `scale`, sizes rounded up. Values may leave [0, 1]. Throws `invalid-argument` for a scale that is not positive. */
export function resizeMatlab(image: FloatImage, scale: number, antialiasing = true): FloatImage {
  if (!(scale > 0 && Number.isFinite(scale)))
    throw new StableDiffusionError(
      'invalid-argument',
      `A picture cannot be resized by ${scale}: the factor is above 0.`,
    );
  const { width, height, channels, data } = image;
  const outWidth = Math.ceil(width * scale);
  const outHeight = Math.ceil(height * scale);
  const columns = apply(data, 1, height, width * channels, contributions(outHeight, scale, antialiasing));
  return floatImage(
    outWidth,
    outHeight,
    channels,
    apply(columns, outHeight, width, channels, contributions(outWidth, scale, antialiasing)),
  );
}

/** Along the middle axis of [outer, length, inner]. */
function apply(
  data: Float32Array,
  outer: number,
  length: number,
  inner: number,
  { outLength, count, starts, weights }: Contributions,
): Float32Array<ArrayBuffer> {
  const out = new Float32Array(outer * outLength * inner);
  const sums = new Float64Array(inner);
  const mirrored = (i: number): number => {
    const at = ((i % (2 * length)) + 2 * length) % (2 * length);
    return at < length ? at : 2 * length - 1 - at;
  };
  for (let o = 0, to = 0; o < outer; o++) {
    for (let i = 0; i < outLength; i++, to += inner) {
      sums.fill(0);
      for (let k = 0; k < count; k++) {
        const weight = weights[i * count + k] as number;
        const from = (o * length + mirrored((starts[i] as number) + k)) * inner;
        for (let j = 0; j < inner; j++) sums[j] = (sums[j] as number) + weight * (data[from + j] as number);
      }
      out.set(sums, to);
    }
  }
  return out;
}
