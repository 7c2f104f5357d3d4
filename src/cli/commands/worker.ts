/** `sd worker` */

import { defineCommand } from '../command.ts';
import { namedModelPath } from '../download-progress.ts';
import { exitCodes } from '../exit-codes.ts';
import { integer, UsageError } from '../options.ts';
import { untilAborted, workOptions, workOptionsOf } from '../server-options.ts';

const options = {
  patience: integer(['--shutdown-seconds'], 'seconds that running jobs may take to finish at shutdown (default: 30)', {
    min: 0,
    max: 3600,
  }),
  ...workOptions,
};

export const worker = defineCommand({
  description:
    'Generates the pictures of jobs in a shared Redis queue. Run any number of workers on any number of machines; if one dies, another takes over its jobs.',
  options,
  takesSettings: true,
  examples: ['sd worker --redis redis://10.0.0.5:6379 --models checkpoints/'],
  async run(context, _words, values) {
    const { redis } = values;
    if (redis === undefined)
      throw new UsageError(
        '--redis is required: a worker takes its jobs from Redis. Example: --redis redis://host:6379',
      );
    const { startWorker } = await import('../../server/server.ts');
    const { pocketModel } = await import('../../model/load-model-node.ts');
    const patience = (values.patience ?? 30) * 1000;
    context.setPatience?.(patience + 5000);
    const model = await namedModelPath(context, values.model);
    const started = await startWorker({
      ...workOptionsOf(
        { ...values, model },
        {
          model: pocketModel,
          environment: context.environment,
          isTerminal: context.err.isTerminal,
        },
      ),
      redis,
    });
    context.out.write(`Working for ${redis.replace(/\/\/[^@/]*@/, '//')}\n`);
    await untilAborted(context.signal);
    await started.stop(patience);
    return exitCodes.ok;
  },
});
