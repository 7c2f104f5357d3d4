/**
 * Batches of which each rank reads shards of its own, as the webdataset package splits them by node: rank r of N has the shards r, r + N and
 * so on, so that all together read each shard once in an epoch.
 */

import { type Communicator, gatherJson } from '../../distributed/communicator.ts';
import { StableDiffusionError } from '../../errors.ts';
import { type BatchOptions, type TrainingBatch, trainingBatches } from './batches.ts';
import type { ShardedSource } from './sample.ts';
import { mixSeed, type OrderState, type SingleOrderState } from './sample-order.ts';

/** The shards of a rank. */
export function shardsOfRank(
  source: ShardedSource,
  { rank, size }: Pick<Communicator, 'rank' | 'size'>,
): ShardedSource {
  if (source.shards.length < size)
    throw new StableDiffusionError(
      'config-invalid',
      `${source.label} has ${source.shards.length} shards for ${size} ranks. With own_shards each rank needs one.`,
    );
  return {
    label: source.label,
    shards: source.shards.filter((_, shard) => shard % size === rank),
    open: (shard, position, signal) => source.open(shard * size + rank, position, signal),
    close: () => source.close(),
  };
}

function stateOf(state: OrderState | undefined, { rank, size }: Communicator): SingleOrderState | undefined {
  if (!state) return undefined;
  if (state.kind === 'ranks' && state.ranks.length === size) return state.ranks[rank];
  throw new StableDiffusionError(
    'config-invalid',
    state.kind === 'ranks'
      ? `The run to resume had shards divided over ${state.ranks.length} ranks, and there are ${size}. Resume with as many.`
      : 'The run to resume had no own_shards. Resume with the same data.',
  );
}

/** Batches without end: `batchSize` items on each rank, of its own shards in an order of its own. */
export async function* ownShardBatches(
  source: ShardedSource,
  options: BatchOptions,
  ranks: Communicator,
): AsyncGenerator<TrainingBatch, void, void> {
  const { rank, size } = ranks;
  const { state: given, batchSize, ...common } = options;
  const state = stateOf(given, ranks);
  const places = {
    rows: Array.from({ length: batchSize }, (_, i) => rank * batchSize + i),
    total: batchSize * size,
  };
  const own = { ...common, batchSize, seed: mixSeed(options.seed, rank, 19), ...(state ? { state } : {}) };
  for await (const batch of trainingBatches(shardsOfRank(source, ranks), own)) {
    const states = await gatherJson(ranks, batch.state as SingleOrderState);
    const epoch = Math.min(...states.map((one) => one.epoch));
    const drawn = states.reduce((sum, one) => sum + one.drawn, 0);
    yield { ...batch, epoch, state: { kind: 'ranks', epoch, drawn, ranks: states }, places };
  }
}
