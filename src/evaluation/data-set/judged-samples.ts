/** All samples of a data set from a place on with their verdicts, in their order. Several ranks divide the blocks among them. */

import { alone, type Communicator, gatherJson } from '../../distributed/communicator.ts';
import type { EncodedSample, SampleSource } from '../../training/data/sample.ts';
import { type Block, blocksFrom, type Place } from './blocks.ts';
import { judge, type JudgeOptions, type Verdict } from './judge.ts';

export interface JudgedSample {
  readonly sample: EncodedSample | undefined;
  readonly verdict: Verdict;
  /** The place of its block, and its index there. */
  readonly from: Place;
  readonly index: number;
}

export interface JudgedSamplesOptions extends JudgeOptions {
  readonly source: SampleSource;
  /** All call this function, and get the same. Default: this process alone. */
  readonly ranks?: Communicator | undefined;
}

export async function* judgedSamples(
  options: JudgedSamplesOptions,
  from: Place,
): AsyncGenerator<JudgedSample, void, void> {
  const { source, ranks = alone, signal } = options;
  let round: Block[] = [];
  async function* finish(): AsyncGenerator<JudgedSample, void, void> {
    const own = round[ranks.rank];
    const all = await gatherJson(ranks, own ? await judge(own.samples, options) : []);
    for (const [rank, block] of round.entries())
      for (const [index, verdict] of (all[rank] ?? []).entries())
        yield { sample: block.samples[index], verdict, from: block.from, index };
    round = [];
  }
  for await (const block of blocksFrom(source, from, signal)) {
    round.push(block);
    if (round.length === ranks.size) yield* finish();
  }
  if (round.length > 0) yield* finish();
}
