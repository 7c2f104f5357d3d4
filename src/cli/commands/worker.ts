/** `sd worker` */

import { defineCommand } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { integer, UsageError } from '../options.ts';
import { untilAborted, workOptions, workOptionsOf } from '../server-options.ts';

const options = {
  patience: integer(['--shutdown-seconds'], 'how long jobs under way may take to end at shutdown (default: 30)', {
    min: 0,
    max: 3600,
  }),
  ...workOptions,
};

export const worker = defineCommand({
  description:
    'Makes the pictures of jobs that servers keep in Redis. As many workers as you like, on as many machines; a dead one costs no job.',
  options,
  examples: ['sd worker --redis redis://10.0.0.5:6379 --models checkpoints/'],
  async run(context, _words, values) {
    const { redis } = values;
    if (redis === undefined)
      throw new UsageError('A worker takes its jobs from Redis. Say where it is: --redis redis://host:6379');
    const { startWorker } = await import('../../server/server.ts');
    const { pocketModel } = await import('../../model/load-model-node.ts');
    const patience = (values.patience ?? 30) * 1000;
    context.setPatience?.(patience + 5000);
    const started = await startWorker({
      ...workOptionsOf(values, { model: pocketModel, environment: context.environment }),
      redis,
    });
    context.out.write(`Working for ${redis.replace(/\/\/[^@/]*@/, '//')}\n`);
    await untilAborted(context.signal);
    await started.stop(patience);
    return exitCodes.ok;
  },
});
