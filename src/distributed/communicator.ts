/**
 * Communicator: the processes that work together, and the collective operations between them, after MPI (MPI Forum, MPI 4.1, chapter 6).
 *
 * Every rank calls the same operations in the same order. They run one after the other. A result is written to `into`, an array of its
 * length that the operation does not read, or to a new one: the system clears the memory of large new arrays, which takes as long as a sum.
 */

/** Arrays that can be summed. */
export type Numbers = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;
/** Arrays that can be moved. */
export type Moved = Numbers | Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

export type Reduction = 'sum' | 'max' | 'min';

export interface Communicator extends AsyncDisposable {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Element by element over the ranks. Each rank gets the same bits. */
  allReduce<T extends Numbers>(values: T, reduction?: Reduction, into?: T): Promise<T>;
  /** Sums, of which rank r gets the part of `counts[r]` elements that follows those of the ranks before it. */
  reduceScatter(
    values: Float32Array<ArrayBuffer>,
    counts: readonly number[],
    into?: Float32Array<ArrayBuffer>,
  ): Promise<Float32Array<ArrayBuffer>>;
  /** The parts of all ranks, one behind the other; rank r gives `counts[r]` elements (default: as many as this rank). */
  allGather<T extends Moved>(part: T, counts?: readonly number[], into?: T): Promise<T>;
  /** Part r of `values`, of `counts[r]` elements, goes to rank r. Gives the parts for this rank by rank. */
  allToAll(values: Uint16Array<ArrayBuffer>, counts: readonly number[]): Promise<Uint16Array<ArrayBuffer>>;
  /** The root's values, written into the arrays of the others. */
  broadcast<T extends Moved>(values: T, root?: number): Promise<T>;
  /** Waits for all ranks, without taking the processor from them. */
  barrier(): Promise<void>;
  /** Ends the processes of all ranks at once. */
  abort(exitCode?: number): void;
}

function copied<T extends Moved>(values: T, into?: T): T {
  if (!into) return values.slice() as T;
  into.set(values);
  return into;
}

/** The communicator of a process that works alone. */
export const alone: Communicator = {
  rank: 0,
  size: 1,
  allReduce: async (values, _reduction, into) => copied(values, into),
  reduceScatter: async (values, _counts, into) => copied(values, into),
  allGather: async (part, _counts, into) => copied(part, into),
  allToAll: async (values) => values.slice(),
  broadcast: async (values) => values,
  barrier: async () => {},
  abort: (exitCode = 1) => {
    throw new Error(`a process that works alone was aborted with ${exitCode}`);
  },
  [Symbol.asyncDispose]: async () => {},
};

/** A JSON value of the root, for all ranks. */
export async function broadcastJson<T>(ranks: Communicator, value: T | undefined, root = 0): Promise<T> {
  const own = ranks.rank === root ? new TextEncoder().encode(JSON.stringify(value ?? null)) : new Uint8Array(0);
  const { 0: length = 0 } = await ranks.broadcast(Float64Array.of(own.length), root);
  const bytes = ranks.rank === root ? own : new Uint8Array(length);
  await ranks.broadcast(bytes, root);
  return JSON.parse(new TextDecoder().decode(bytes)) as T;
}

/** The JSON values of all ranks, in their order. */
export async function gatherJson<T>(ranks: Communicator, own: T): Promise<T[]> {
  const all: T[] = [];
  for (let rank = 0; rank < ranks.size; rank++)
    all.push(await broadcastJson(ranks, rank === ranks.rank ? own : undefined, rank));
  return all;
}

/** True on every rank where it is true on one. */
export async function anyRank(ranks: Communicator, value: boolean): Promise<boolean> {
  if (ranks.size === 1) return value;
  const { 0: most = 0 } = await ranks.allReduce(Float64Array.of(value ? 1 : 0), 'max');
  return most > 0;
}

/** The range of `count` things that a rank has: as even as whole multiples of `unit` allow. */
export function rangeOf(
  count: number,
  { rank, size }: Pick<Communicator, 'rank' | 'size'>,
  unit = 1,
): { readonly start: number; readonly end: number } {
  const units = Math.ceil(count / unit);
  const place = (r: number): number => Math.min(count, Math.floor((r * units) / size) * unit);
  return { start: place(rank), end: rank === size - 1 ? count : place(rank + 1) };
}

/** The lengths of all ranks' ranges. */
export function rangeCounts(count: number, size: number, unit = 1): number[] {
  return Array.from({ length: size }, (_, rank) => {
    const { start, end } = rangeOf(count, { rank, size }, unit);
    return end - start;
  });
}
