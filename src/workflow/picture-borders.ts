/** Pictures [b, h, w, c] side by side, and pictures fitted into a size with borders. */

import { concatenate } from '../tensor/arithmetic.ts';
import { float32 } from '../tensor/tensor.ts';
import { type Float32, withChannels } from './grids.ts';
import { upscaleImage } from './upscale.ts';

/** A picture of a size and one value, with another laid on it at a place. */
function onCanvas(
  image: Float32,
  { width, height, left, top, fill }: { width: number; height: number; left: number; top: number; fill: number },
): Float32 {
  const [batch = 1, h = 1, w = 1, channels = 3] = image.shape;
  const data = new Float32Array(batch * height * width * channels).fill(fill);
  for (let b = 0; b < batch; b++)
    for (let y = 0; y < h; y++) {
      const row = image.data.subarray((b * h + y) * w * channels, (b * h + y + 1) * w * channels);
      data.set(row, ((b * height + top + y) * width + left) * channels);
    }
  return float32([batch, height, width, channels], data);
}

/** In the middle of a size, as large as fits. */
export function fittedInto(
  image: Float32,
  { width, height, fill, method }: { width: number; height: number; fill: number; method: string },
): Float32 {
  const [, h = 1, w = 1] = image.shape;
  const scale = Math.min(width / w, height / h);
  const own = { width: Math.trunc(w * scale), height: Math.trunc(h * scale) };
  const [left, top] = [(width - own.width) >> 1, (height - own.height) >> 1];
  return onCanvas(upscaleImage(image, { ...own, method }), { width, height, left, top, fill });
}

const colors: Readonly<Record<string, readonly [number, number, number]>> = {
  white: [1, 1, 1],
  black: [0, 0, 0],
  red: [1, 0, 0],
  green: [0, 1, 0],
  blue: [0, 0, 1],
};

export interface StitchOptions {
  /** Where the second picture lies: right, down, left, up. */
  readonly direction: string;
  /** The second picture gets the height, or width, of the first. Otherwise the smaller one gets borders. */
  readonly matchesSize: boolean;
  /** Pixels between. */
  readonly spacing: number;
  readonly color: string;
}

/** The last picture repeated up to a number. */
function lastRepeated(images: Float32, count: number): Float32 {
  const [own = 1, ...rest] = images.shape;
  const size = images.data.length / own;
  const data = new Float32Array(size * count);
  for (let b = 0; b < count; b++)
    data.set(images.data.subarray(Math.min(b, own - 1) * size, (Math.min(b, own - 1) + 1) * size), b * size);
  return { ...images, shape: [count, ...rest], data };
}

function matched(first: Float32, second: Float32, isRow: boolean): Float32 {
  const [, h = 1, w = 1] = first.shape;
  const [, height = 1, width = 1] = second.shape;
  const ratio = width / height;
  const size = isRow ? { width: Math.trunc(h * ratio), height: h } : { width: w, height: Math.trunc(w / ratio) };
  return upscaleImage(second, { ...size, method: 'lanczos', crop: 'disabled' });
}

/** Both in the larger one's height, or width, in the middle of a border. */
function bordered(images: readonly [Float32, Float32], isRow: boolean, fill: number): [Float32, Float32] {
  const axis = isRow ? 1 : 2;
  const side = Math.max(...images.map(({ shape }) => shape[axis] ?? 1));
  return images.map((image) => {
    const [, h = 1, w = 1] = image.shape;
    if (image.shape[axis] === side) return image;
    const size = isRow ? { width: w, height: side } : { width: side, height: h };
    return onCanvas(image, { ...size, left: (size.width - w) >> 1, top: (size.height - h) >> 1, fill });
  }) as [Float32, Float32];
}

/** A stripe of one colour; its alpha is 1. */
function stripe(batch: number, height: number, width: number, channels: number, color: readonly number[]): Float32 {
  const data = Float32Array.from({ length: batch * height * width * channels }, (_, i) => color[i % channels] ?? 1);
  return float32([batch, height, width, channels], data);
}

/** The second picture at a side of the first. */
export function stitched(image1: Float32, image2: Float32, options: StitchOptions): Float32 {
  const { direction, matchesSize, spacing, color } = options;
  const isRow = direction === 'left' || direction === 'right';
  const count = Math.max(image1.shape[0] ?? 1, image2.shape[0] ?? 1);
  let [first, second] = [lastRepeated(image1, count), lastRepeated(image2, count)];
  const rgb = colors[color] ?? [1, 1, 1];
  if (matchesSize) second = matched(first, second, isRow);
  // Borders have the colour only where it is white or black.
  else [first, second] = bordered([first, second], isRow, color === 'white' ? 1 : 0);
  const channels = Math.max(first.shape[3] ?? 3, second.shape[3] ?? 3);
  [first, second] = [withChannels(first, channels), withChannels(second, channels)];
  const [, h = 1, w = 1] = first.shape;
  const between =
    spacing > 0 ? [isRow ? stripe(count, h, spacing, channels, rgb) : stripe(count, spacing, w, channels, rgb)] : [];
  const isAfter = direction === 'right' || direction === 'down';
  return isAfter
    ? concatenate([first, ...between, second], isRow ? 2 : 1)
    : concatenate([second, ...between, first], isRow ? 2 : 1);
}
