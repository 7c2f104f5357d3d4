/**
 * The order in which samples are used: seeded, and resumed exactly from a small state. An indexed source is permuted again every epoch;
 * a sharded one is read through a buffer from which samples are drawn, its shards permuted every epoch.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import type { IndexedSource, PlacedSample, Sample, SampleSource, ShardedSource } from './sample.ts';

/** State of the order; plain JSON, stored in checkpoints. */
export type OrderState =
  | SingleOrderState
  | {
      /** Each rank has shards of its own. */
      readonly kind: 'ranks';
      readonly epoch: number;
      readonly drawn: number;
      readonly ranks: readonly SingleOrderState[];
    };

/** State of the order of one source. */
export type SingleOrderState =
  | {
      readonly kind: 'indexed';
      readonly epoch: number /** Samples of the epoch that have been used. */;
      readonly drawn: number;
    }
  | {
      readonly kind: 'sharded';
      readonly epoch: number;
      readonly drawn: number;
      /** Number of opened shards in the epoch's order; the last of them is being read. */
      readonly begun: number;
      /** The last sample read of that shard; null before its first. */
      readonly position: number | null;
      /** Shard and position of what waits in the buffer, in its order. */
      readonly buffer: readonly (readonly [shard: number, position: number])[];
    };

export interface OrderOptions {
  readonly seed: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Size of a sharded source's shuffle buffer. Default 1000 samples, kept in memory in encoded form. */
  readonly buffer?: number;
  /** Epochs without end (default), or one. */
  readonly repeat?: boolean;
  /** State to resume from. */
  readonly state?: OrderState;
  readonly signal?: AbortSignal;
}

/** One use of a sample. */
export interface SampleDraw {
  /** Reads it; undefined where it could not be read. */
  readonly read: () => Promise<Sample | undefined>;
  readonly epoch: number;
  /** Seed of this use of the sample: of its crop, flip, caption. */
  readonly seed: number;
  /** State after this sample. */
  readonly state: OrderState;
}

export interface OrderedSample extends Omit<SampleDraw, 'read'> {
  /** Undefined where it could not be read. */
  readonly sample: Sample | undefined;
}

/** Samples in order, each read before the next is drawn; endless by default. Throws `config-invalid` for a state of another source. */
export function orderedSamples(source: SampleSource, options: OrderOptions): AsyncGenerator<OrderedSample, void, void> {
  return readOnes(sampleDraws(source, options));
}

async function* readOnes(draws: AsyncIterable<SampleDraw>): AsyncGenerator<OrderedSample, void, void> {
  for await (const { read, ...draw } of draws) yield { ...draw, sample: await read() };
}

/** The order alone: samples are read when their user asks. Those of shards have been read, because their order depends on it. */
export function sampleDraws(source: SampleSource, options: OrderOptions): AsyncGenerator<SampleDraw, void, void> {
  const { state } = options;
  if (state?.kind === 'ranks')
    throw new StableDiffusionError(
      'config-invalid',
      'The run to resume gave each rank shards of its own. Resume with own_shards and as many ranks.',
    );
  if (state && (state.kind === 'indexed') !== 'read' in source) {
    throw new StableDiffusionError(
      'config-invalid',
      `The run to resume used ${state.kind === 'indexed' ? 'single files' : 'shards'}, and ${source.label} is not of that kind. Resume with the same data.`,
    );
  }
  return 'read' in source ? orderedIndexed(source, options) : orderedSharded(source, options);
}

/** 32 well-mixed bits of whole numbers (the finaliser of MurmurHash3 over each). */
export function mixSeed(...values: readonly number[]): number {
  let hash = 0x9e3779b9;
  for (const value of values) {
    for (const word of [value >>> 0, Math.floor(value / 2 ** 32) >>> 0]) {
      hash = Math.imul(hash ^ word, 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
      hash ^= hash >>> 16;
    }
  }
  return hash >>> 0;
}

/** `torch.randperm` from the seed of the epoch. */
function permutation(count: number, { seed, shuffle = true }: OrderOptions, epoch: number): Uint32Array {
  return shuffle
    ? new TorchGenerator(mixSeed(seed, epoch)).randperm(count)
    : Uint32Array.from({ length: count }, (_, i) => i);
}

async function* orderedIndexed(source: IndexedSource, options: OrderOptions): AsyncGenerator<SampleDraw, void, void> {
  const { seed, repeat = true, signal, state } = options;
  const start = state?.kind === 'indexed' ? state : { epoch: 0, drawn: 0 };
  if (start.drawn > source.count)
    throw new StableDiffusionError(
      'config-invalid',
      `The run to resume had used ${start.drawn} samples of an epoch, and ${source.label} has ${source.count}. Resume with the same data.`,
    );
  for (let { epoch, drawn } = start; ; epoch++, drawn = 0) {
    const order = permutation(source.count, options, epoch);
    while (drawn < source.count) {
      throwIfAborted(signal);
      const index = order[drawn] as number;
      yield {
        read: () => source.read(index, signal),
        epoch,
        seed: mixSeed(seed, epoch, drawn, 1),
        state: { kind: 'indexed', epoch, drawn: ++drawn },
      };
    }
    if (!repeat || source.count === 0) return;
  }
}

interface Waiting extends PlacedSample {
  readonly shard: number;
}

async function* orderedSharded(source: ShardedSource, options: OrderOptions): AsyncGenerator<SampleDraw, void, void> {
  const { seed, shuffle = true, repeat = true, signal } = options;
  const capacity = shuffle ? Math.max(1, options.buffer ?? 1000) : 1;
  const initial = Math.min(capacity, 100);
  let resume = options.state?.kind === 'sharded' ? options.state : undefined;
  for (let epoch = resume?.epoch ?? 0; ; epoch++) {
    const order = permutation(source.shards.length, options, epoch);
    const buffer: Waiting[] = resume ? await readAgain(source, resume.buffer, signal) : [];
    const reader = createReader(source, order, resume, signal);
    let drawn = resume?.drawn ?? 0;
    resume = undefined;
    try {
      for (;;) {
        throwIfAborted(signal);
        // Two in for one out, until it is full; the fill level determines the number to read, so that a resumed run does the same.
        const wanted = buffer.length < initial ? initial : Math.min(capacity, buffer.length + 2);
        while (buffer.length < wanted) {
          const next = await reader.next();
          if (!next) break;
          buffer.push(next);
        }
        if (buffer.length === 0) break;
        const chosen = shuffle ? new TorchGenerator(mixSeed(seed, epoch, drawn, 2)).integer(0, buffer.length) : 0;
        const { sample } = buffer[chosen] as Waiting;
        const last = buffer.pop() as Waiting;
        if (chosen < buffer.length) buffer[chosen] = last;
        const use = mixSeed(seed, epoch, drawn, 1);
        drawn++;
        yield {
          read: async () => sample,
          epoch,
          seed: use,
          state: {
            kind: 'sharded',
            epoch,
            drawn,
            ...reader.place(),
            buffer: buffer.map(({ shard, position }) => [shard, position] as const),
          },
        };
      }
    } finally {
      await reader.close();
    }
    if (!repeat) return;
    if (drawn === 0)
      throw new StableDiffusionError(
        'file-corrupt',
        `${source.label}: a whole pass gave no readable sample. See the warnings above.`,
      );
  }
}

interface ShardReader {
  next(): Promise<Waiting | undefined>;
  place(): { readonly begun: number; readonly position: number | null };
  close(): Promise<void>;
}

/** One pass over the shards in their order, from a state on. */
function createReader(
  source: ShardedSource,
  order: Uint32Array,
  resume: { readonly begun: number; readonly position: number | null } | undefined,
  signal: AbortSignal | undefined,
): ShardReader {
  let { begun, position } = resume ?? { begun: 0, position: null };
  if (begun > order.length)
    throw new StableDiffusionError(
      'config-invalid',
      `The run to resume had read ${begun} shards, but ${source.label} has only ${order.length}. Resume with the same data.`,
    );
  let samples: AsyncIterator<PlacedSample> | undefined;
  let passed: number | null = null;
  if (begun > 0) {
    samples = source.open(order[begun - 1] as number, position ?? undefined, signal)[Symbol.asyncIterator]();
    passed = position;
  }
  return {
    async next() {
      for (;;) {
        if (!samples) {
          if (begun === order.length) return undefined;
          samples = source.open(order[begun++] as number, undefined, signal)[Symbol.asyncIterator]();
          position = null;
          passed = null;
        }
        const next = await samples.next();
        if (next.done) samples = undefined;
        else if (passed !== null && next.value.position <= passed)
          continue; // read before the resume
        else {
          position = next.value.position;
          return { ...next.value, shard: order[begun - 1] as number };
        }
      }
    },
    place: () => ({ begun, position }),
    async close() {
      await samples?.return?.();
    },
  };
}

/** Restores the content of the buffer, in order, with one pass over each shard. */
async function readAgain(
  source: ShardedSource,
  places: readonly (readonly [number, number])[],
  signal: AbortSignal | undefined,
): Promise<Waiting[]> {
  const byShard = new Map<number, Set<number>>();
  for (const [shard, position] of places) byShard.set(shard, (byShard.get(shard) ?? new Set()).add(position));
  const found = new Map<string, Waiting>();
  for (const [shard, wanted] of byShard) {
    const [first, last] = [Math.min(...wanted), Math.max(...wanted)];
    for await (const placed of source.open(shard, first, signal)) {
      if (wanted.has(placed.position)) found.set(`${shard} ${placed.position}`, { ...placed, shard });
      if (placed.position >= last) break;
    }
  }
  return places.map(([shard, position]) => {
    const sample = found.get(`${shard} ${position}`);
    if (!sample)
      throw new StableDiffusionError(
        'config-invalid',
        `${source.shards[shard] ?? `Shard ${shard}`} no longer has the sample at ${position} that the run to resume had read. Resume with the same data.`,
      );
    return sample;
  });
}
