/**
 * Resampling exactly as Pillow 13 does it on 8-bit images (`Image.resize`; libImaging/Resample.c, and ScaleAffine in Geometry.c for nearest).
 *
 * Separable convolution with weights in fixed point of 22 bits and rounding to 8 bits after each pass. The filter
 * widens when shrinking (antialiasing), which is what distinguishes it from PyTorch's and OpenCV's resizing of the same names.
 */

import { StableDiffusionError } from '../errors.ts';
import { type Channels, createImage, type Image } from './image.ts';

export type ResizeFilter = 'nearest' | 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

interface Kernel {
  /** Half its width, in input pixels when not shrinking. */
  readonly support: number;
  weight(x: number): number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

const kernels: { readonly [F in Exclude<ResizeFilter, 'nearest'>]: Kernel } = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  // 0.54 and 0.46 are single-precision literals in the original.
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(x * Math.PI))),
  },
  bicubic: {
    support: 2,
    weight: (value) => {
      const x = Math.abs(value);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

export const resizeFilters: readonly ResizeFilter[] = ['nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'];

/** Part of an image, in pixels, with fractions allowed. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

const precisionBits = 22;

interface Weights {
  /** First input position of each output position. */
  readonly starts: Int32Array;
  /** Their number. */
  readonly counts: Int32Array;
  /** `size` weights for each output position, in fixed point. */
  readonly weights: Int32Array;
  readonly size: number;
}

/** The weights of one pass, from the pixels [from, to) of `inSize` to `outSize`. */
function passWeights(kernel: Kernel, inSize: number, from: number, to: number, outSize: number): Weights {
  const scale = Math.fround(Math.fround(to) - Math.fround(from)) / outSize;
  const filterScale = Math.max(1, scale);
  const support = kernel.support * filterScale;
  const size = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outSize);
  const counts = new Int32Array(outSize);
  const weights = new Int32Array(outSize * size);
  const row = new Float64Array(size);
  const inverse = 1 / filterScale;
  for (let out = 0; out < outSize; out++) {
    const center = Math.fround(from) + (out + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(inSize, Math.trunc(center + support + 0.5)) - start;
    let sum = 0;
    for (let i = 0; i < count; i++) sum += row[i] = kernel.weight((i + start - center + 0.5) * inverse);
    for (let i = 0; i < count; i++) {
      const weight = (sum === 0 ? (row[i] as number) : (row[i] as number) / sum) * 2 ** precisionBits;
      weights[out * size + i] = weight < 0 ? weight - 0.5 : weight + 0.5; // truncated towards zero by the store
    }
    starts[out] = start;
    counts[out] = count;
  }
  return { starts, counts, weights, size };
}

/** Convolves along the middle axis of [outer, length, inner] bytes, giving [outer, starts.length, inner]. */
function convolve(
  data: Uint8Array,
  outer: number,
  length: number,
  inner: number,
  { starts, counts, weights, size }: Weights,
): Uint8Array {
  const outLength = starts.length;
  const out = new Uint8ClampedArray(outer * outLength * inner);
  let to = 0;
  for (let o = 0; o < outer; o++) {
    for (let position = 0; position < outLength; position++) {
      const from = (o * length + (starts[position] as number)) * inner;
      const count = counts[position] as number;
      const at = position * size;
      for (let i = 0; i < inner; i++) {
        let sum = 1 << (precisionBits - 1);
        for (let k = 0; k < count; k++) sum += (data[from + k * inner + i] as number) * (weights[at + k] as number);
        out[to++] = sum >> precisionBits;
      }
    }
  }
  return new Uint8Array(out.buffer);
}

/** Positions that nearest resampling reads, with Pillow's running sum. */
function nearestPositions(inSize: number, from: number, to: number, outSize: number): Int32Array {
  const positions = new Int32Array(outSize);
  const step = (to - from) / outSize;
  let at = from + step * 0.5;
  for (let out = 0; out < outSize; out++, at += step) positions[out] = Math.min(inSize - 1, Math.trunc(at));
  return positions;
}

function resizeNearest<C extends Channels>(image: Image<C>, width: number, height: number, box: Box): Image<C> {
  const { channels, data } = image;
  const xs = nearestPositions(image.width, box.left, box.right, width);
  const ys = nearestPositions(image.height, box.top, box.bottom, height);
  const out = new Uint8Array(width * height * channels);
  let to = 0;
  for (const y of ys) {
    for (const x of xs) {
      const from = (y * image.width + x) * channels;
      for (let c = 0; c < channels; c++) out[to++] = data[from + c] as number;
    }
  }
  return createImage(width, height, channels, out);
}

/** Pillow's MULDIV255 and its inverse: RGBA is resampled premultiplied. */
function premultiply(data: Uint8Array): Uint8Array {
  const out = data.slice();
  for (let i = 0; i < out.length; i += 4) {
    const alpha = out[i + 3] as number;
    for (let c = i; c < i + 3; c++) {
      const product = (out[c] as number) * alpha + 128;
      out[c] = ((product >> 8) + product) >> 8;
    }
  }
  return out;
}

function unpremultiply(data: Uint8Array): Uint8Array {
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3] as number;
    if (alpha === 0 || alpha === 255) continue;
    for (let c = i; c < i + 3; c++) data[c] = Math.min(255, Math.trunc((255 * (data[c] as number)) / alpha));
  }
  return data;
}

/** Pillow 13 runs the vertical pass first where the height shrinks by more than twice what the width shrinks (older ones never do); rounding between the passes shows it. */
function verticalFirst(image: Image, width: number, height: number): boolean {
  return height < image.height && image.height - height > 2 * (image.width - width);
}

/**
 * Resizes to `width` x `height` pixels, as Pillow 13's `image.resize((width, height), filter, box)`.
 *
 * Four-channel images are resampled premultiplied (except by `nearest`), as there. Throws `invalid-argument` for impossible sizes or boxes.
 */
export function resize<C extends Channels>(
  image: Image<C>,
  width: number,
  height: number,
  filter: ResizeFilter,
  box?: Box,
): Image<C> {
  const { left, top, right, bottom } = box ?? { left: 0, top: 0, right: image.width, bottom: image.height };
  if (!(left >= 0 && top >= 0 && right <= image.width && bottom <= image.height && left < right && top < bottom)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `The box [${left}, ${top}, ${right}, ${bottom}] does not lie in an image of ${image.width}x${image.height} pixels.`,
    );
  }
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new StableDiffusionError(
      'invalid-argument',
      `An image cannot be resized to ${width}x${height} pixels: width and height are whole numbers from 1.`,
    );
  }
  const whole = left === 0 && top === 0 && right === image.width && bottom === image.height;
  if (whole && width === image.width && height === image.height)
    return createImage(width, height, image.channels, image.data.slice());
  if (filter === 'nearest') return resizeNearest(image, width, height, { left, top, right, bottom });

  const { channels } = image;
  const horizontal = width !== image.width || left !== 0 || right !== width;
  const vertical = height !== image.height || top !== 0 || bottom !== height;
  const columnWeights = vertical ? passWeights(kernels[filter], image.height, top, bottom, height) : undefined;
  const rowWeights = horizontal ? passWeights(kernels[filter], image.width, left, right, width) : undefined;
  let data = channels === 4 ? premultiply(image.data) : image.data;
  if (columnWeights && rowWeights && verticalFirst(image, width, height)) {
    data = convolve(data, 1, image.height, image.width * channels, columnWeights);
    data = convolve(data, height, image.width, channels, rowWeights);
  } else {
    if (rowWeights) data = convolve(data, image.height, image.width, channels, rowWeights);
    if (columnWeights) data = convolve(data, 1, image.height, width * channels, columnWeights);
  }
  return createImage(width, height, channels, channels === 4 ? unpremultiply(data) : data);
}
