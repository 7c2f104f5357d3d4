/** Masks [b, h, w] in 0…1: joined by an operation, with soft edges, grown by steps. */

import { clamped, type Float32, mapped } from './grids.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';

const bit = (value: number): boolean => roundHalfEven(value) !== 0;

const operations: Readonly<Record<string, (a: number, b: number) => number>> = {
  multiply: (a, b) => a * b,
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  and: (a, b) => Number(bit(a) && bit(b)),
  or: (a, b) => Number(bit(a) || bit(b)),
  xor: (a, b) => Number(bit(a) !== bit(b)),
};

/** A mask over another at a place. */
export function maskComposite(
  destination: Float32,
  source: Float32,
  { x, y, operation }: { readonly x: number; readonly y: number; readonly operation: string },
): Float32 {
  const [count = 1, H = 1, W = 1] = destination.shape;
  const [own = 1, h = 1, w = 1] = source.shape;
  const join = operations[operation] ?? ((a: number) => a);
  const data = destination.data.slice();
  for (let b = 0; b < count; b++)
    for (let row = 0; row < Math.min(h, H - y); row++)
      for (let column = 0; column < Math.min(w, W - x); column++) {
        const at = (b * H + y + row) * W + x + column;
        data[at] = join(data[at] as number, source.data[((b % own) * h + row) * w + column] as number);
      }
  return mapped({ ...destination, data }, clamped);
}

/**
 * Falls towards the edges. At the right and the bottom ComfyUI counts from the first row of the other side: place 0 has the least weight, and
 * the last place the second least.
 */
export function feathered(
  mask: Float32,
  edges: { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number },
): Float32 {
  const [, height = 1, width = 1] = mask.shape;
  const rise = (i: number, length: number): number => (i < length ? Math.fround((i + 1) / length) : 1);
  const fall = (i: number, size: number, length: number): number => rise(i === 0 ? 0 : size - i, length);
  const [left, right] = [Math.min(edges.left, width), Math.min(edges.right, width)];
  const [top, bottom] = [Math.min(edges.top, height), Math.min(edges.bottom, height)];
  return mapped(mask, (value, i) => {
    const [x, y] = [i % width, Math.floor(i / width) % height];
    return value * rise(x, left) * fall(x, width, right) * rise(y, top) * fall(y, height, bottom);
  });
}

/**
 * Grown by so many pixels, or shrunk by a negative number; `tapered` leaves corners out. ComfyUI takes a step of one pixel each time. A step as
 * long as the way so far gives the same pixels, since the shapes of this reach then cover the larger shape, also at the borders, to which places
 * outside are moved. So the number of steps is the logarithm of `expand`.
 */
export function grown(mask: Float32, expand: number, tapered: boolean): Float32 {
  const [count = 1, height = 1, width = 1] = mask.shape;
  const pick = expand < 0 ? Math.min : Math.max;
  const offsets = [-1, 0, 1].flatMap((dy) =>
    [-1, 0, 1].flatMap((dx) => (tapered && dx !== 0 && dy !== 0 ? [] : [[dy, dx] as const])),
  );
  // Beyond its own size nothing changes any more.
  const far = Math.min(Math.abs(expand), height + width);
  let data = mask.data;
  for (let reach = 0, step = 1; reach < far; reach += step) {
    step = Math.max(1, Math.min(reach, far - reach));
    const next = new Float32Array(data.length);
    for (let b = 0; b < count; b++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          let best = data[(b * height + y) * width + x] as number;
          for (const [dy, dx] of offsets) {
            const fy = Math.min(height - 1, Math.max(0, y + dy * step));
            const fx = Math.min(width - 1, Math.max(0, x + dx * step));
            best = pick(best, data[(b * height + fy) * width + fx] as number);
          }
          next[(b * height + y) * width + x] = best;
        }
    data = next;
  }
  return { ...mask, data };
}
