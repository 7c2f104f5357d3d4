/** Small arithmetic on tensors of pictures, masks and latents: element by element, parts, turns, batches. */

import { StableDiffusionError } from '../errors.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { takeBatch } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { toBatch } from './sampling/to-batch.ts';

export type Float32 = Tensor<'float32'>;

export const mapped = (x: Float32, change: (value: number, i: number) => number): Float32 => ({
  ...x,
  data: x.data.map(change),
});

/** Two tensors of one shape, element by element. Throws `shape-mismatch`. */
export function zipped(a: Float32, b: Float32, join: (a: number, b: number) => number): Float32 {
  if (a.shape.join() !== b.shape.join())
    throw new StableDiffusionError(
      'shape-mismatch',
      `Tensors of [${a.shape.join(', ')}] and [${b.shape.join(', ')}] do not fit.`,
    );
  return { ...a, data: a.data.map((value, i) => join(value, b.data[i] as number)) };
}

/** Two batches in one number of items: one item stands for all of the other batch, other numbers are left as they are. */
export function broadcast(a: Float32, b: Float32): readonly [Float32, Float32] {
  const [own = 1, other = 1] = [a.shape[0], b.shape[0]];
  return [own === 1 ? toBatch(a, other) : a, other === 1 ? toBatch(b, own) : b];
}

export const clamped = (x: number): number => Math.min(1, Math.max(0, x));

/** A tensor seen as planes [n, h, w] with `c` numbers for each place. */
interface Planes {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly inner: number;
}

/** `isImage`: [b, h, w, c]; else [..., h, w]. */
function planesOf({ shape, data }: Float32, isImage: boolean): Planes {
  const inner = isImage ? (shape[3] ?? 1) : 1;
  const [height = 1, width = 1] = isImage ? shape.slice(1, 3) : shape.slice(-2);
  return { count: data.length / (height * width * inner), height, width, inner };
}

/** Every place of the result from a place of `x`. */
export function placed(
  x: Float32,
  isImage: boolean,
  [height, width]: readonly [number, number],
  from: (y: number, x: number, size: Planes) => readonly [number, number],
): Float32 {
  const planes = planesOf(x, isImage);
  const { count, inner } = planes;
  const data = new Float32Array(count * height * width * inner);
  for (let p = 0; p < count; p++)
    for (let y = 0; y < height; y++)
      for (let column = 0; column < width; column++) {
        const [fy, fx] = from(y, column, planes);
        const at = ((p * planes.height + fy) * planes.width + fx) * inner;
        data.set(x.data.subarray(at, at + inner), ((p * height + y) * width + column) * inner);
      }
  const shape = isImage ? [x.shape[0] ?? 1, height, width, inner] : [...x.shape.slice(0, -2), height, width];
  return { dtype: 'float32', shape, data };
}

/** Quarter turns clockwise by the name of a rotation. */
export function rotated(x: Float32, rotation: string, isImage: boolean): Float32 {
  const { height, width } = planesOf(x, isImage);
  if (rotation.startsWith('90')) return placed(x, isImage, [width, height], (y, column) => [height - 1 - column, y]);
  if (rotation.startsWith('180'))
    return placed(x, isImage, [height, width], (y, column) => [height - 1 - y, width - 1 - column]);
  return rotation.startsWith('270') ? placed(x, isImage, [width, height], (y, column) => [column, width - 1 - y]) : x;
}

/** Mirrored by the name of an axis. */
export function flipped(x: Float32, axis: string, isImage: boolean): Float32 {
  const { height, width } = planesOf(x, isImage);
  return axis.startsWith('x')
    ? placed(x, isImage, [height, width], (y, column) => [height - 1 - y, column])
    : placed(x, isImage, [height, width], (y, column) => [y, width - 1 - column]);
}

/** A part, cut where it leaves the whole. */
export function part(
  x: Float32,
  isImage: boolean,
  area: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
): Float32 {
  const { height, width } = planesOf(x, isImage);
  const [h, w] = [
    Math.max(0, Math.min(area.height, height - area.y)),
    Math.max(0, Math.min(area.width, width - area.x)),
  ];
  return placed(x, isImage, [h, w], (y, column) => [y + area.y, column + area.x]);
}

/** Items from an index on, at least one. */
export function slice(x: Float32, index: number, length: number): Float32 {
  const count = x.shape[0] ?? 1;
  const start = Math.min(count - 1, index);
  return takeBatch(x, start, start + Math.min(count - start, length));
}

export const repeated = (x: Float32, times: number): Float32 => toBatch(x, (x.shape[0] ?? 1) * times);

export const joined = (a: Float32, b: Float32): Float32 => concatenate([a, b], 0);

/** [b, h, w, c] with another number of channels: cut, or filled with 1. */
export function withChannels(image: Float32, channels: number): Float32 {
  const [batch = 1, height = 1, width = 1, own = 1] = image.shape;
  if (own === channels) return image;
  const data = new Float32Array(batch * height * width * channels).fill(1);
  for (let i = 0; i < batch * height * width; i++)
    for (let c = 0; c < Math.min(own, channels); c++) data[i * channels + c] = image.data[i * own + c] as number;
  return { dtype: 'float32', shape: [batch, height, width, channels], data };
}
