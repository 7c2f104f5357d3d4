/** What all ranks must have the same of a data set: its kind, its length or shards, and some of its samples. */

import type { EncodedSample, Sample, SampleSource } from './sample.ts';
import { sampleDigest } from './latent-cache-node.ts';

const digestOf = (sample: Sample | undefined): Promise<string> | string =>
  sample && 'image' in sample ? sampleDigest(sample as EncodedSample) : (sample?.name ?? '');

/** A text that differs where the data do. Reads the first, the middle and the last sample of a source of single files. */
export async function dataFacts(source: SampleSource): Promise<string> {
  if (!('read' in source)) return JSON.stringify(source.shards.map((name) => name.split(/[/\\]/).at(-1)));
  const { count } = source;
  const samples: string[] = [];
  for (const index of new Set([0, Math.floor(count / 2), count - 1]))
    if (index >= 0 && index < count) samples.push(await digestOf(await source.read(index)));
  return JSON.stringify([count, ...samples]);
}
