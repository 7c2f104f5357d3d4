/** Morphology of pictures [b, c, h, w] with a square of ones, as kornia's: beyond the border nothing counts. */

import { type Float32, zipped } from './grids.ts';

/**
 * The greatest value of the `size` places around each of a row, `size >> 1` of them before it. `at` gives the places of the row; a list of
 * candidates in falling order makes it linear in the length.
 */
function slidingMaximum(
  from: Float32Array,
  to: Float32Array,
  { start, step, count }: { readonly start: number; readonly step: number; readonly count: number },
  size: number,
): void {
  const before = size >> 1;
  const after = size - before - 1;
  const candidates: number[] = [];
  let first = 0;
  for (let i = 0; i < count + after; i++) {
    if (i < count) {
      const value = from[start + i * step] as number;
      while (candidates.length > first && (from[start + (candidates.at(-1) as number) * step] as number) <= value)
        candidates.pop();
      candidates.push(i);
    }
    const place = i - after;
    if (place < 0) continue;
    while ((candidates[first] as number) < place - before) first++;
    to[start + place * step] = from[start + (candidates[first] as number) * step] as number;
  }
}

/** The greatest value of each square. */
export function dilated(x: Float32, size: number): Float32 {
  const [height = 1, width = 1] = x.shape.slice(-2);
  const planes = x.data.length / (height * width);
  const rows = new Float32Array(x.data.length);
  const data = new Float32Array(x.data.length);
  for (let row = 0; row < planes * height; row++)
    slidingMaximum(x.data, rows, { start: row * width, step: 1, count: width }, size);
  for (let p = 0; p < planes; p++)
    for (let column = 0; column < width; column++)
      slidingMaximum(rows, data, { start: p * height * width + column, step: width, count: height }, size);
  return { ...x, data };
}

const negated = (x: Float32): Float32 => ({ ...x, data: x.data.map((value) => -value) });

/** The smallest value of each square. */
export const eroded = (x: Float32, size: number): Float32 => negated(dilated(negated(x), size));

const opened = (x: Float32, size: number): Float32 => dilated(eroded(x, size), size);
const closed = (x: Float32, size: number): Float32 => eroded(dilated(x, size), size);
const minus = (a: Float32, b: Float32): Float32 => zipped(a, b, (p, q) => p - q);

const operations: Readonly<Record<string, (x: Float32, size: number) => Float32>> = {
  erode: eroded,
  dilate: dilated,
  open: opened,
  close: closed,
  gradient: (x, size) => minus(dilated(x, size), eroded(x, size)),
  bottom_hat: (x, size) => minus(closed(x, size), x),
  top_hat: (x, size) => minus(x, opened(x, size)),
};

export function morphed(x: Float32, operation: string, size: number): Float32 {
  return (operations[operation] ?? ((same: Float32) => same))(x, size);
}
