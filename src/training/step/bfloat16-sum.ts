/**
 * Sums over ranks that cross the network in bfloat16: half the bytes. Every rank sends its numbers rounded, the rank that a part belongs to
 * adds them in float32 in the order of the ranks, and the sum is rounded again, so that all ranks have the same bits.
 */

import type { Communicator } from '../../distributed/communicator.ts';
import { convert } from '../../tensor/convert.ts';
import { float32, tensor } from '../../tensor/tensor.ts';

type Floats = Float32Array<ArrayBuffer>;
type Words = Uint16Array<ArrayBuffer>;

const rounded = (values: Floats): Words => convert(float32([values.length], values), 'bfloat16').data as Words;
export const widened = (words: Words): Floats =>
  convert(tensor('bfloat16', [words.length], words), 'float32').data as Floats;

/** This rank's part of the sum, as bfloat16. */
export async function sumInBfloat16(
  communicator: Communicator,
  values: Floats,
  counts: readonly number[],
): Promise<Words> {
  const given = widened(await communicator.allToAll(rounded(values), counts));
  const length = counts[communicator.rank] ?? 0;
  const sum = given.slice(0, length);
  for (let rank = 1; rank < communicator.size; rank++)
    for (let i = 0; i < length; i++) sum[i] = (sum[i] as number) + (given[rank * length + i] as number);
  return rounded(sum);
}
