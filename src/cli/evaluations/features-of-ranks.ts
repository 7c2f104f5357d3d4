/** Features of a folder's pictures, computed by several ranks: each has every so-many-th block of files, and all get the whole in the order of the files. */

import type { Communicator } from '../../distributed/communicator.ts';
import type { PictureFeatures } from '../../evaluation/features.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';

/** A picture and its place among those that can be used. */
export interface PlacedPicture<T> {
  readonly picture: T;
  readonly place: number;
}

/**
 * The pictures of this rank, in blocks of `atOnce`. `read` gives one by its number, or undefined where it cannot be used; then the ranks
 * tell each other, so that the first `count` that can be used are the same as in one process.
 */
export async function* picturesOfRank<T>(
  ranks: Communicator,
  { files, count, atOnce }: { readonly files: number; readonly count: number; readonly atOnce: number },
  read: (index: number) => Promise<T | undefined>,
): AsyncGenerator<readonly PlacedPicture<T>[], void, void> {
  let place = 0;
  for (let from = 0; from < files && place < count; from += atOnce * ranks.size) {
    const first = from + ranks.rank * atOnce;
    const pictures: (T | undefined)[] = [];
    for (let i = first; i < first + atOnce; i++) pictures.push(i < files ? await read(i) : undefined);
    const flags = await ranks.allGather(Uint8Array.from(pictures, (picture) => (picture === undefined ? 0 : 1)));
    const own: PlacedPicture<T>[] = [];
    for (const [i, flag] of flags.entries()) {
      if (flag === 0 || place >= count) continue;
      const picture = pictures[i - ranks.rank * atOnce];
      if (picture !== undefined && i >= ranks.rank * atOnce) own.push({ picture, place });
      place++;
    }
    if (own.length > 0) yield own;
  }
}

/** Rows of all ranks by their places; `rows` is undefined on a rank without pictures. */
async function gatherRows(
  ranks: Communicator,
  places: Int32Array<ArrayBuffer>,
  rows: Tensor<'float32'> | undefined,
): Promise<Tensor<'float32'> | undefined> {
  const { 0: width = 0 } = await ranks.allReduce(Float64Array.of(rows?.shape[1] ?? 0), 'max');
  if (width === 0) return undefined;
  const counts = [...(await ranks.allGather(Int32Array.of(places.length)))];
  const order = await ranks.allGather(places, counts);
  const values = await ranks.allGather(
    (rows?.data ?? new Float32Array(0)) as Float32Array<ArrayBuffer>,
    counts.map((n) => n * width),
  );
  const out = new Float32Array(values.length);
  for (const [i, place] of order.entries()) out.set(values.subarray(i * width, (i + 1) * width), place * width);
  return float32([order.length, width], out);
}

/** The features of all ranks in the order of the pictures. */
export async function gatherFeatures(
  ranks: Communicator,
  places: readonly number[],
  own: PictureFeatures | undefined,
): Promise<PictureFeatures> {
  const order = Int32Array.from(places);
  const features = await gatherRows(ranks, order, own?.features);
  const logits = await gatherRows(ranks, order, own?.logits);
  return { features: features ?? float32([0, 0], []), ...(logits ? { logits } : {}) };
}
