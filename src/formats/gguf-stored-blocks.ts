/** GGUF's Q4_0 and Q8_0 as blocks that are multiplied as they are: the same numbers in another order, and scales in float32. */

import { float16ToNumber } from '../tensor/convert.ts';
import type { BlockValues } from '../weights/weight-source.ts';

/** Bytes of a block: its scale in float16, and its numbers. */
const block = { 4: 18, 8: 34 } as const;

/** Types that are such blocks, by their number in the format. */
export const storedBits: Readonly<Record<number, 4 | 8>> = { 2: 4, 8: 8 };

/** The first 16 numbers are the low halves of Q4_0's bytes; here neighbours share a byte. Q8_0's numbers are signed; here 128 is zero. */
export function blockValues(data: Uint8Array, bits: 4 | 8): BlockValues {
  const size = block[bits];
  const count = data.length / size;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const scales = new Float32Array(count);
  const numbers = new Uint8Array(count * 4 * bits);
  for (let i = 0; i < count; i++) {
    const [from, to] = [i * size + 2, i * 4 * bits];
    scales[i] = float16ToNumber(view.getUint16(from - 2, true));
    if (bits === 8) for (let j = 0; j < 32; j++) numbers[to + j] = (data[from + j] as number) ^ 128;
    else
      for (let j = 0; j < 8; j++) {
        const [a, b] = [data[from + 2 * j] as number, data[from + 2 * j + 1] as number];
        numbers[to + j] = (a & 15) | ((b & 15) << 4);
        numbers[to + 8 + j] = (a >> 4) | (b & 240);
      }
  }
  return { numbers, scales };
}
