/**
 * Windows of an image for attention inside each (Swin Transformer, Liu et al. 2021): partition, cyclic shift, and the mask that keeps
 * apart what the shift brought together. Sizes are fixed numbers, because the mask is a constant of the size.
 */

import { concat, constant, gather, reshape, slice, transpose } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { fixedSize } from './fixed-size.ts';

/** Height and width, pixels. */
export type WindowSize = readonly [height: number, width: number];

/** x [b, h, w, c] → [b · windows, wh · ww, c], windows in rows from the top left. */
export function toWindows(x: Sym, [wh, ww]: WindowSize): Sym {
  const [b, h, w, c] = [0, 1, 2, 3].map((axis) => fixedSize(x, axis)) as [number, number, number, number];
  const split = transpose(reshape(x, [b, h / wh, wh, w / ww, ww, c]), [0, 1, 3, 2, 4, 5]);
  return reshape(split, [(b * h * w) / (wh * ww), wh * ww, c]);
}

/** The inverse of `toWindows`: [b · windows, wh · ww, c] → [b, h, w, c]. */
export function fromWindows(x: Sym, [wh, ww]: WindowSize, [h, w]: WindowSize): Sym {
  const c = fixedSize(x, 2);
  const b = (fixedSize(x, 0) * wh * ww) / (h * w);
  const split = transpose(reshape(x, [b, h / wh, w / ww, wh, ww, c]), [0, 1, 3, 2, 4, 5]);
  return reshape(split, [b, h, w, c]);
}

/** `torch.roll` of x [b, h, w, c] along height and width; positive moves down and right. */
export function roll(x: Sym, shifts: readonly [down: number, right: number]): Sym {
  return shifts.reduce((value, shift, i) => {
    const axis = i + 1;
    const size = fixedSize(value, axis);
    const cut = (((-shift % size) + size) % size) as number;
    return cut === 0 ? value : concat([slice(value, axis, cut, size), slice(value, axis, 0, cut)], axis);
  }, x);
}

/** The band (of three along an axis) of a pixel of the shifted image. */
const band = (position: number, size: number, window: number, shift: number): number =>
  position < size - window ? 0 : position < size - shift ? 1 : 2;

/**
 * The mask of shifted windows, [windows, 1, n, n] with n pixels in a window: 0 where two pixels were neighbours before the shift,
 * `blocked` elsewhere.
 */
export function shiftMask(
  [h, w]: WindowSize,
  [wh, ww]: WindowSize,
  [down, right]: readonly [number, number],
  blocked = -100,
): Tensor<'float32'> {
  const n = wh * ww;
  const windows = (h * w) / n;
  const data = new Float32Array(windows * n * n);
  const across = w / ww;
  for (let window = 0; window < windows; window++) {
    const [top, left] = [Math.floor(window / across) * wh, (window % across) * ww];
    const regions = Array.from(
      { length: n },
      (_, i) => 3 * band(top + Math.floor(i / ww), h, wh, down) + band(left + (i % ww), w, ww, right),
    );
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) if (regions[i] !== regions[j]) data[(window * n + i) * n + j] = blocked;
  }
  return float32([windows, 1, n, n], data);
}

/** The learned bias of each pair of pixels of a window: table [(2·wh - 1)(2·ww - 1), heads] → [1, heads, n, n], n pixels in a window. */
export function pairBias(table: Sym, window: WindowSize, heads: number): Sym {
  const n = window[0] * window[1];
  const rows = tensor('int64', [n * n], BigInt64Array.from(relativePositions(window), BigInt));
  return reshape(transpose(gather(table, constant(table, rows)), [1, 0]), [1, heads, n, n]);
}

/** Row of a table of (2·wh - 1)(2·ww - 1) relative positions for each pair of pixels of a window, [n · n]. */
function relativePositions([wh, ww]: WindowSize): number[] {
  const n = wh * ww;
  const rows: number[] = [];
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      const dy = Math.floor(i / ww) - Math.floor(j / ww) + wh - 1;
      const dx = (i % ww) - (j % ww) + ww - 1;
      rows.push(dy * (2 * ww - 1) + dx);
    }
  return rows;
}
