/**
 * Canny's edges of pictures in floats (Canny 1986), as kornia's `canny`, which ComfyUI's node calls: Gaussian of 5 pixels, Sobel's gradients,
 * thinning along the nearest of eight directions, and weak edges kept where strong ones touch them. `opencv/canny.ts` is OpenCV's, of bytes.
 */

import { reflectedIndex } from '../tensor/reflected-index.ts';
import type { Tensor } from '../tensor/tensor.ts';

type Float32 = Tensor<'float32'>;

const reach = 2;
const gaussian = ((): readonly number[] => {
  const raw = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / 2));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => Math.fround(weight / total));
})();

/** The eight neighbours by the angle towards them, clockwise from the right in steps of 45 degrees. */
const neighbours = [
  [1, 0],
  [1, 1],
  [0, 1],
  [-1, 1],
  [-1, 0],
  [-1, -1],
  [0, -1],
  [1, -1],
] as const;

interface Plane {
  readonly data: Float32Array;
  readonly height: number;
  readonly width: number;
}

const clamped = (i: number, length: number): number => Math.min(length - 1, Math.max(0, i));

/** Weighted sums along one axis, borders mirrored. */
function blurAlong({ data, height, width }: Plane, isRows: boolean): Plane {
  const out = data.map((_, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    return gaussian.reduce((sum, weight, k) => {
      const at = isRows
        ? reflectedIndex(y + k - reach, height) * width + x
        : y * width + reflectedIndex(x + k - reach, width);
      return sum + weight * (data[at] as number);
    }, 0);
  });
  return { data: out, height, width };
}

/** Length of the gradient, and its direction in eighths of a turn. */
function gradients({ data, height, width }: Plane): { readonly length: Float32Array; readonly eighths: Int8Array } {
  const length = new Float32Array(data.length);
  const eighths = new Int8Array(data.length);
  const at = (y: number, x: number): number => data[clamped(y, height) * width + clamped(x, width)] as number;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const side = (dx: number): number => at(y - 1, x + dx) + 2 * at(y, x + dx) + at(y + 1, x + dx);
      const row = (dy: number): number => at(y + dy, x - 1) + 2 * at(y + dy, x) + at(y + dy, x + 1);
      const [gx, gy] = [Math.fround(side(1) - side(-1)), Math.fround(row(1) - row(-1))];
      length[i] = Math.sqrt(gx * gx + gy * gy + 1e-6);
      eighths[i] = (Math.round((Math.atan2(gy, gx) * 4) / Math.PI) + 8) % 8;
    }
  return { length, eighths };
}

/** The gradient where it is longer than at both neighbours along its direction, else 0; beyond the border it is 0. */
function thinned({ height, width }: Plane, length: Float32Array, eighths: Int8Array): Float32Array {
  const at = (y: number, x: number): number =>
    y < 0 || x < 0 || y >= height || x >= width ? 0 : (length[y * width + x] as number);
  return length.map((own, i) => {
    const [dx, dy] = neighbours[eighths[i] as number] as readonly [number, number];
    const [y, x] = [Math.floor(i / width), i % width];
    return own > at(y + dy, x + dx) && own > at(y - dy, x - dx) ? own : 0;
  });
}

/** 1 where an edge is strong, or weak and touches one that is kept. */
function kept({ height, width }: Plane, length: Float32Array, low: number, high: number): Float32Array {
  const edges = new Float32Array(length.length);
  const open: number[] = [];
  for (const [i, value] of length.entries())
    if (value > high) {
      edges[i] = 1;
      open.push(i);
    }
  for (let i = open.pop(); i !== undefined; i = open.pop())
    for (const [dx, dy] of neighbours) {
      const [y, x]: readonly [number, number] = [Math.floor(i / width) + dy, (i % width) + dx];
      const other: number = y * width + x;
      if (y < 0 || x < 0 || y >= height || x >= width || edges[other] === 1) continue;
      if (!((length[other] as number) > low)) continue;
      edges[other] = 1;
      open.push(other);
    }
  return edges;
}

/** Edges of pictures [b, h, w, 3] in 0…1, white on black. */
export function cannyEdges(image: Float32, low: number, high: number): Float32 {
  const [batch = 1, height = 1, width = 1, channels = 3] = image.shape;
  const size = height * width;
  const data = new Float32Array(batch * size * 3);
  for (let b = 0; b < batch; b++) {
    const grey = Float32Array.from({ length: size }, (_, i) => {
      const at = (b * size + i) * channels;
      const [red, green, blue] = [image.data[at], image.data[at + 1], image.data[at + 2]] as [number, number, number];
      return 0.299 * red + 0.587 * green + 0.114 * blue;
    });
    const blurred = blurAlong(blurAlong({ data: grey, height, width }, false), true);
    const { length, eighths } = gradients(blurred);
    const edges = kept(blurred, thinned(blurred, length, eighths), low, high);
    for (const [i, value] of edges.entries()) data.fill(value, (b * size + i) * 3, (b * size + i + 1) * 3);
  }
  return { dtype: 'float32', shape: [batch, height, width, 3], data };
}
