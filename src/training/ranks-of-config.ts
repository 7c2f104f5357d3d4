/** How the ranks of a run work together, from its configuration. */

import { configError } from '../config/validate.ts';
import type { Communicator } from '../distributed/communicator.ts';
import type { StepRanks } from './step/gradient-exchange.ts';
import type { TrainingConfig } from './training-config.ts';

/** Throws `config-invalid` for settings that do not go together. */
export function ranksOfConfig(
  { training, loop }: TrainingConfig,
  communicator: Communicator,
  label: string,
): StepRanks {
  const { diloco, shard_states: sharded, shard_gradients: shardedGradients, reduce_dtype: reduction } = training;
  if (shardedGradients && !sharded)
    throw configError(`${label}: training.shard_gradients needs training.shard_states.`);
  const parts = training.backward_parts ?? (shardedGradients && communicator.size > 1 ? 8 : 1);
  const wholeStatistics = training.sync_batch_norm && communicator.size > 1;
  if (!diloco) return { communicator, sharded, shardedGradients, parts, wholeStatistics, reduction };
  const { every, learning_rate: learningRate, momentum } = diloco;
  const not = [
    sharded && 'shard_states, because each rank needs its own moments',
    training.sync_batch_norm && 'sync_batch_norm, because each rank trains alone',
    parts > 1 && 'backward_parts, because gradients do not cross the network',
    reduction === 'bfloat16' && 'reduce_dtype: bfloat16, because parameters cross the network and not gradients',
    training.early_discriminator === 'skip' && 'early_discriminator: skip',
  ].find((reason) => reason !== false);
  if (not) throw configError(`${label}: training.diloco does not go with ${not}.`);
  for (const [name, steps] of [
    ['every_n_train_steps', loop.checkpointEvery],
    ['val_check_interval', loop.validateEvery],
  ] as const)
    if (steps % every !== 0)
      throw configError(
        `${label}: ${name} is ${steps}; with training.diloco it must be a multiple of diloco.every, ${every}.`,
      );
  return { communicator, outer: { every, learningRate, momentum } };
}
