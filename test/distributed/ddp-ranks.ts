/**
 * Run on several ranks by ddp.test.ts: the recorded cases of DistributedDataParallel with this many ranks, each with its shard. Every rank
 * compares its own outputs, and what all share.
 */

import { openRanks } from '../../src/distributed/open-node.ts';
import { gradients } from '../../src/graph/gradients.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { disposeParityEngine, parityEngine } from '../parity/engine.ts';
import { batchOf, lossGraph, normalised, shard, smallStep, unetWeights, whole } from '../parity/readers/train-steps.ts';
import { casesOf } from '../parity/recorded-cases.ts';
import { compareOutputs, entryOf, named, norm, rowsOf, scalar, trainingCase, vector } from '../parity/training-case.ts';
import { collecting, type Comparisons } from '../parity/comparisons.ts';

const [root = ''] = process.argv.slice(2);
const { communicator } = await openRanks('auto', process.env);
const { rank, size } = communicator;
const scaled = (value: Tensor): Tensor =>
  ({
    ...value,
    data: (value.data as Float32Array).map((element) => element / size),
  }) as Tensor;

async function shards(one: ReturnType<typeof trainingCase>, compare: Comparisons): Promise<void> {
  const { settings, extra } = one;
  const got: Record<string, Tensor> = {};
  const own = (i: number) => {
    const rows = settings.batch / size;
    return {
      ...shard(
        batchOf((name) => entryOf(one.input(name), i)),
        rank * rows,
        (rank + 1) * rows,
      ),
    };
  };
  const single = gradients(lossGraph(whole), 'loss', [`${whole}.out.2.weight`, `${whole}.input_blocks.0.0.weight`]);
  await using program = await parityEngine().compile(single, memoryWeights(unetWeights(one, whole)));
  for (const [name, value] of Object.entries(await program.run(own(0))))
    got[`world${size}.rank${rank}.${name}`] = value;
  await using step = await smallStep(one, whole, { ranks: { communicator } });
  for (let i = 0; i < settings.steps; i++) {
    const { loss, batches } = await step.run(own(i), { learningRate: settings.lr });
    got[`world${size}.loss${i}`] = scalar(loss);
    const losses = await communicator.allGather(Float64Array.of(batches[0]?.['loss'] ?? Number.NaN));
    got[`world${size}.rank_losses${i}`] = vector([...losses]);
    if (i > 0) continue;
    const sums = await step.gradients();
    const mean = (name: string): Tensor => scaled(named(sums, name));
    for (const name of step.trained) got[`world${size}.grad.${name}`] = mean(name);
    got[`world${size}.gradnorms`] = vector(
      (extra.parameter_order as string[]).map((name) =>
        norm(mean(step.trained.includes(name) ? name : `model.${name}`)),
      ),
    );
  }
  compareOutputs(one, compare, (name) => got[name], {
    only: (name) => name.startsWith(`world${size}.`) && (!/\.rank\d+\./.test(name) || name.includes(`.rank${rank}.`)),
  });
}

/** Each rank's own statistics. */
async function batchNorm(one: ReturnType<typeof trainingCase>, compare: Comparisons): Promise<void> {
  const x = one.input('x');
  const half = (x.shape[0] ?? 0) / 2;
  const part = await normalised(one, rowsOf(x, rank * half, (rank + 1) * half));
  const both = await communicator.allGather(Float64Array.from(part));
  compareOutputs(one, compare, () => ({ ...x, dtype: 'float32', data: Float32Array.from(both) }) as Tensor, {
    only: (name) => name === 'two_shards',
  });
}

let count = 0;
for (const recorded of casesOf(root, 'training').filter(({ part }) => part === 'ddp')) {
  const one = trainingCase(recorded);
  const isShards = /^gradient averaged over .* shards/.test(String(recorded.row['exercises']));
  if (!isShards && size !== 2) continue;
  const compare = collecting((_, comparisons) => (isShards ? shards : batchNorm)(one, comparisons));
  for await (const { output, error, tolerance } of compare(recorded)) {
    count++;
    if (!(error <= tolerance)) throw new Error(`${recorded.name} ${output}: ${error} is more than ${tolerance}`);
  }
}
disposeParityEngine();
await communicator[Symbol.asyncDispose]();
process.stdout.write(`rank ${rank} of ${size} compared ${count} outputs\n`);
