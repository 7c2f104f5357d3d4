/**
 * The samples of a data set in their order, in blocks of a few. How they are divided depends on the data alone, and a block can be read again
 * from the place of its first sample, so that what is computed of a block is the same in every run.
 */

import { throwIfAborted } from '../../errors.ts';
import type { EncodedSample, Sample, SampleSource } from '../../training/data/sample.ts';

/** Where a sample is. */
export interface Place {
  /** In the whole data set, from 0. */
  readonly number: number;
  readonly shard: number;
  /** In its shard; undefined at its beginning. */
  readonly position?: number | undefined;
}

export interface Block {
  readonly from: Place;
  /** Undefined for what could not be read, which was reported. */
  readonly samples: readonly (EncodedSample | undefined)[];
}

export const start: Place = { number: 0, shard: 0 };

const blockSamples = 16;
/** A block ends where its files have more bytes. */
const blockBytes = 2 ** 26;

async function* samplesFrom(source: SampleSource, from: Place, signal?: AbortSignal) {
  let { number } = from;
  if ('count' in source) {
    for (; number < source.count; number++)
      yield { place: { number, shard: 0 }, sample: await source.read(number, signal) };
    return;
  }
  for (let shard = from.shard; shard < source.shards.length; shard++) {
    const first = shard === from.shard ? from.position : undefined;
    for await (const { sample, position } of source.open(shard, first, signal))
      yield { place: { number: number++, shard, position }, sample: sample as Sample | undefined };
  }
}

/** Blocks from a place on. Throws `aborted`, or what the reader throws. */
export async function* blocksFrom(
  source: SampleSource,
  from: Place,
  signal?: AbortSignal,
): AsyncGenerator<Block, void, void> {
  let samples: (EncodedSample | undefined)[] = [];
  let first = from;
  let bytes = 0;
  for await (const { place, sample } of samplesFrom(source, from, signal)) {
    throwIfAborted(signal);
    if (samples.length === 0) first = place;
    const usable = sample && 'image' in sample ? sample : undefined;
    samples.push(usable);
    bytes += (usable?.image.length ?? 0) + (usable?.map?.length ?? 0);
    if (samples.length < blockSamples && bytes < blockBytes) continue;
    yield { from: first, samples };
    samples = [];
    bytes = 0;
  }
  if (samples.length > 0) yield { from: first, samples };
}
