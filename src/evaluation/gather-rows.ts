/** Rows that several ranks have, such as features of pictures: each at its place in the whole, for all ranks. */

import type { Communicator, Moved } from '../distributed/communicator.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { PictureFeatures } from './features.ts';

export interface Rows<T> {
  readonly count: number;
  /** Elements of a row. */
  readonly width: number;
  readonly data: T;
}

/** `values` has a row for each of `places`; together the ranks have every place from 0 once. All ranks get the rows in order. */
export async function gatherRows<T extends Moved>(
  ranks: Communicator,
  places: readonly number[],
  values: T,
): Promise<Rows<T>> {
  const own = places.length === 0 ? 0 : values.length / places.length;
  if (ranks.size === 1) return { count: places.length, width: own, data: values };
  const { 0: width = 0 } = await ranks.allReduce(Float64Array.of(own), 'max');
  const counts = [...(await ranks.allGather(Int32Array.of(places.length)))];
  const order = await ranks.allGather(Int32Array.from(places), counts);
  const given = await ranks.allGather(
    values,
    counts.map((count) => count * width),
  );
  const data = new (values.constructor as new (length: number) => T)(given.length);
  for (const [i, place] of order.entries())
    data.set(given.subarray(i * width, (i + 1) * width) as never, place * width);
  return { count: order.length, width, data };
}

const tensorOf = ({ count, width, data }: Rows<Float32Array<ArrayBuffer>>): Tensor<'float32'> =>
  float32([count, width], data);

/** The features of all ranks in the order of the pictures; `own` is undefined on a rank without pictures. */
export async function gatherFeatures(
  ranks: Communicator,
  places: readonly number[],
  own: PictureFeatures | undefined,
): Promise<PictureFeatures> {
  const rowsOf = (value: Tensor<'float32'> | undefined) =>
    gatherRows(ranks, places, (value?.data ?? new Float32Array(0)) as Float32Array<ArrayBuffer>);
  const features = tensorOf(await rowsOf(own?.features));
  const logits = await rowsOf(own?.logits);
  return logits.width === 0 ? { features } : { features, logits: tensorOf(logits) };
}
