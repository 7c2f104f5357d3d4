/**
 * Communicators over MPI's library.
 *
 * Small operations, and the wait for slower ranks before large ones, ask from time to time whether they are done (`MPI_Test`), because
 * MPI's own waiting keeps a core busy. Large ones run in a thread of Node's pool.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Communicator, Moved, Numbers, Reduction } from './communicator.ts';
import type { Argument, Handle, MpiFunction, MpiLibrary } from './mpi-library-node.ts';

/** Most bytes of an operation that is polled. */
const smallBytes = 2 ** 14;
/** Milliseconds between questions, after those in which the thread asks without a pause. */
const [shortestPause, longestPause] = [1, 4];
const eager = 0.5;
/** Part of the time that an operation has taken, which a pause may add. */
const patience = 0.05;
/** Bytes of an MPI_Status, at least. */
const statusBytes = 128;

/** Waits before the next question about an operation that began at this time. */
function pause(begin: number): Promise<void> {
  const waited = performance.now() - begin;
  return new Promise((resolve) => {
    if (waited < eager) setImmediate(resolve);
    else setTimeout(resolve, Math.min(longestPause, Math.max(shortestPause, waited * patience)));
  });
}

type Floats = Float32Array<ArrayBuffer>;

function check(code: number, what: string): void {
  if (code !== 0)
    throw new StableDiffusionError(
      'engine-failed',
      `${what} of MPI failed with code ${code}. See the lines of MPI above.`,
    );
}

/** Where the parts of these lengths begin. */
function placesOf(counts: readonly number[]): {
  readonly counts: Int32Array;
  readonly starts: Int32Array;
  readonly total: number;
} {
  const starts = new Int32Array(counts.length);
  let total = 0;
  for (const [i, count] of counts.entries()) {
    starts[i] = total;
    total += count;
  }
  if (total >= 2 ** 31)
    throw new StableDiffusionError(
      'too-large',
      `An operation of MPI moves fewer than 2^31 elements, and this has ${total}.`,
    );
  return { counts: Int32Array.from(counts), starts, total };
}

/** The array for a result: the given one, or a new one of the same kind as the values. */
function resultFor<T extends Moved>(values: T, length: number, into: T | undefined): T {
  if (!into) return new (values.constructor as new (count: number) => T)(length);
  if (into.length === length && into.constructor === values.constructor && into.buffer !== values.buffer) return into;
  throw new StableDiffusionError(
    'invalid-argument',
    `The array for a result has ${into.length} elements of ${into.constructor.name}; it must have ${length} of ${values.constructor.name}, in memory of its own.`,
  );
}

class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  readonly #mpi: MpiLibrary;
  readonly #handle: Handle;
  readonly #close: () => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor(mpi: MpiLibrary, handle: Handle, close: () => void) {
    this.#mpi = mpi;
    this.#handle = handle;
    this.#close = close;
    const number = (ask: MpiFunction): number => {
      const value = new Int32Array(1);
      check(ask(handle, value), 'MPI_Comm');
      return value[0] ?? 0;
    };
    this.rank = number(mpi.call.MPI_Comm_rank);
    this.size = number(mpi.call.MPI_Comm_size);
  }

  /** After the operations before it. */
  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Starts an operation and asks until it is done. Its buffers are off V8's heap once `buffer` was read, so that they do not move. */
  async #poll(start: MpiFunction, values: readonly Argument[], what: string): Promise<void> {
    const [request, done, status] = [new BigInt64Array(1), new Int32Array(1), new Uint8Array(statusBytes)];
    const held = [...values, request, done, status];
    for (const value of held) if (ArrayBuffer.isView(value)) void value.buffer;
    const begin = performance.now();
    check(start(...values, request), what);
    for (;;) {
      check(this.#mpi.call.MPI_Test(request, done, status), what);
      if (done[0] !== 0) return;
      await pause(begin);
    }
  }

  /** A large operation, when all ranks have come to it. */
  async #long(work: MpiFunction, values: readonly Argument[], what: string): Promise<void> {
    await this.#poll(this.#mpi.call.MPI_Ibarrier, [this.#handle], 'MPI_Ibarrier');
    const code = await new Promise<number>((resolve, reject) => {
      work.async(...values, (error: unknown, result: number) => (error ? reject(error) : resolve(result)));
    });
    check(code, what);
  }

  #type(values: Moved): { readonly type: Handle; readonly bytes: number } {
    const { float, double, byte } = this.#mpi.handles;
    if (values instanceof Float32Array) return { type: float, bytes: 1 };
    return values instanceof Float64Array
      ? { type: double, bytes: 1 }
      : { type: byte, bytes: values.BYTES_PER_ELEMENT };
  }

  allReduce<T extends Numbers>(values: T, reduction: Reduction = 'sum', into?: T): Promise<T> {
    return this.#next(async () => {
      const out = resultFor(values, values.length, into);
      const { type } = this.#type(values);
      const { call, handles } = this.#mpi;
      const given = [values, out, values.length, type, handles[reduction], this.#handle];
      if (values.byteLength <= smallBytes) await this.#poll(call.MPI_Iallreduce, given, 'MPI_Iallreduce');
      else await this.#long(call.MPI_Allreduce, given, 'MPI_Allreduce');
      return out;
    });
  }

  reduceScatter(values: Floats, counts: readonly number[], into?: Floats): Promise<Floats> {
    return this.#next(async () => {
      const places = this.#places(counts, values.length);
      const out = resultFor(values, counts[this.rank] ?? 0, into);
      const { call, handles } = this.#mpi;
      const given = [values, out, places.counts, handles.float, handles.sum, this.#handle];
      await this.#long(call.MPI_Reduce_scatter, given, 'MPI_Reduce_scatter');
      return out;
    });
  }

  allGather<T extends Moved>(
    part: T,
    counts: readonly number[] = Array(this.size).fill(part.length),
    into?: T,
  ): Promise<T> {
    return this.#next(async () => {
      const { type, bytes } = this.#type(part);
      const places = placesOf(counts.map((count) => count * bytes));
      const out = resultFor(part, places.total / bytes, into);
      const { call } = this.#mpi;
      const given = [part, part.length * bytes, type, out, places.counts, places.starts, type, this.#handle];
      if (out.byteLength <= smallBytes) await this.#poll(call.MPI_Iallgatherv, given, 'MPI_Iallgatherv');
      else await this.#long(call.MPI_Allgatherv, given, 'MPI_Allgatherv');
      return out;
    });
  }

  allToAll(values: Uint16Array<ArrayBuffer>, counts: readonly number[]): Promise<Uint16Array<ArrayBuffer>> {
    return this.#next(async () => {
      this.#places(counts, values.length);
      const { byte } = this.#mpi.handles;
      const own = counts[this.rank] ?? 0;
      const sent = placesOf(counts.map((count) => 2 * count));
      const got = placesOf(Array(this.size).fill(2 * own));
      const out = new Uint16Array(own * this.size);
      const given = [values, sent.counts, sent.starts, byte, out, got.counts, got.starts, byte, this.#handle];
      await this.#long(this.#mpi.call.MPI_Alltoallv, given, 'MPI_Alltoallv');
      return out;
    });
  }

  broadcast<T extends Moved>(values: T, root = 0): Promise<T> {
    return this.#next(async () => {
      const { type, bytes } = this.#type(values);
      const { call } = this.#mpi;
      const given = [values, placesOf([values.length * bytes]).total, type, root, this.#handle];
      if (values.byteLength <= smallBytes) await this.#poll(call.MPI_Ibcast, given, 'MPI_Ibcast');
      else await this.#long(call.MPI_Bcast, given, 'MPI_Bcast');
      return values;
    });
  }

  barrier(): Promise<void> {
    return this.#next(() => this.#poll(this.#mpi.call.MPI_Ibarrier, [this.#handle], 'MPI_Ibarrier'));
  }

  abort(exitCode = 1): void {
    this.#mpi.call.MPI_Abort(this.#handle, exitCode);
  }

  /** All ranks close together. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.barrier();
    this.#close();
  }

  /** The lengths, checked against that of the whole. */
  #places(counts: readonly number[], length: number): ReturnType<typeof placesOf> {
    const places = placesOf(counts);
    if (counts.length === this.size && places.total === length) return places;
    throw new StableDiffusionError(
      'invalid-argument',
      `${counts.length} parts of ${places.total} elements do not make ${length} elements over ${this.size} ranks.`,
    );
  }
}

/** Starts MPI and gives the communicator of all ranks; disposing of it ends MPI. Once in a process. */
export function startMpi(mpi: MpiLibrary): Communicator {
  const { call, kind, handles } = mpi;
  const level = new Int32Array(1);
  check(call.MPI_Init_thread(null, null, kind.threadSerialized, level), 'MPI_Init_thread');
  const all = new MpiCommunicator(mpi, handles.world, () => check(call.MPI_Finalize(), 'MPI_Finalize'));
  if ((level[0] ?? 0) >= kind.threadSerialized) return all;
  throw new StableDiffusionError(
    'engine-unavailable',
    `${mpi.path} was built without support for threads (it gives level ${level[0]}). Use another build of it.`,
  );
}
