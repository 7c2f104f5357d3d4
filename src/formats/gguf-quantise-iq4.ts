/**
 * IQ4_NL of GGUF: blocks of 32 elements at 16 levels that are denser around zero, equal to the bit to ggml's reference (`quantize_row_iq4_nl_ref` of
 * ggml-quants.c). There, a block of zeros keeps the levels of the block before it, which are in steps of zero; here it has the lowest.
 */

import { numberToFloat16 } from '../tensor/convert.ts';
import { iq4Levels } from './gguf-few-levels.ts';

const round = Math.fround;
const last = iq4Levels.length - 1;
const level = (i: number): number => iq4Levels[i] as number;

/** The number of the level nearest to x; of two equally near ones the upper. */
function nearestLevel(x: number): number {
  if (x <= level(0)) return 0;
  if (x >= level(last)) return last;
  let [below, above] = [0, last];
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if (x < level(middle)) above = middle;
    else below = middle;
  }
  return round(x - level(above - 1)) < round(level(above) - x) ? above - 1 : above;
}

const numbers = new Uint8Array(32);

/** The step of 32 elements by the least weighted squared error; their levels to `numbers`. */
function stepOf(values: Float32Array, from: number): number {
  let extreme = 0;
  for (let i = from; i < from + 32; i++)
    if (Math.abs(values[i] as number) > Math.abs(extreme)) extreme = values[i] as number;
  if (Math.abs(extreme) < round(1e-15)) {
    numbers.fill(0);
    return 0;
  }
  const factor = round(1 / round(extreme / level(0)));
  let [products, squares] = [0, 0];
  for (let i = 0; i < 32; i++) {
    const value = values[from + i] as number;
    const number = nearestLevel(round(factor * value));
    numbers[i] = number;
    // An element counts by its square.
    const weighted = round(round(value * value) * level(number));
    products = round(products + round(weighted * value));
    squares = round(squares + round(weighted * level(number)));
  }
  return squares > 0 ? round(products / squares) : 0;
}

/** Writes the block of `values` from `from` on to `out` at `at`. */
export function writeIq4(values: Float32Array, from: number, out: DataView, at: number): void {
  out.setUint16(at, numberToFloat16(stepOf(values, from)), true);
  for (let i = 0; i < 16; i++) out.setUint8(at + 2 + i, (numbers[i] as number) | ((numbers[i + 16] as number) << 4));
}
