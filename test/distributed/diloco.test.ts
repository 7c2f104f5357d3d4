/** DiLoCo: rounds of inner steps against the outer step's formula, states that a checkpoint can keep, and settings that do not go together. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { alone } from '../../src/distributed/communicator.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { dim } from '../../src/graph/dim.ts';
import { mean, mul, sub } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { ranksOfConfig } from '../../src/training/ranks-of-config.ts';
import { createTrainStep } from '../../src/training/step/create-train-step.ts';
import type { OptimiserConfig } from '../../src/training/step/optimiser.ts';
import type { OuterConfig } from '../../src/training/step/outer-config.ts';
import type { TrainingState } from '../../src/training/step/step-options.ts';
import { trainingConfig } from '../../src/training/training-config.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { localRanks } from './local-ranks.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const graph = trace({ x: { dtype: 'float32', shape: [dim('batch'), 5] } }, ({ x }, p) => {
  const y = sub(mul(x, p.get('a', [5])), 1);
  return { loss: mean(mul(y, y)) };
});
const first = [1, -0.5, 0.25, 2, 0.1];
const weights = memoryWeights(new Map([['a', float32([5], first)]]));
const batch = (rank: number, i: number): { readonly x: Tensor } => ({
  x: new TorchGenerator(97 * rank + i).randn([2, 5]),
});

interface Run {
  readonly outer?: OuterConfig;
  readonly optimiser?: OptimiserConfig;
  readonly start?: TrainingState | undefined;
  /** Whose batches a rank has. */
  readonly batchesOf?: (rank: number) => number;
}

function train(size: number, [from, to]: readonly [number, number], run: Run) {
  const { outer, optimiser = { kind: 'adamw' }, start, batchesOf = (rank) => rank } = run;
  return Promise.all(
    localRanks(size).map(async (communicator, rank) => {
      await using step = await createTrainStep({
        engine,
        graph,
        weights,
        optimiser,
        average: { decay: 0.9 },
        ranks: { communicator, ...(outer ? { outer } : {}) },
      });
      if (start) await step.restore(start);
      for (let i = from; i < to; i++) await step.run(batch(batchesOf(rank), i), { learningRate: 0.05 });
      const values = Array.from((await step.parameters())['a']?.data ?? [], Number);
      await step.settle();
      return { values, saved: await step.save() };
    }),
  );
}

function near(got: readonly number[], want: readonly number[]): void {
  assert.equal(got.length, want.length);
  for (const [i, value] of want.entries()) assert.ok(Math.abs((got[i] as number) - value) < 2e-6, `${got} and ${want}`);
}

test('one inner step of SGD and an outer step of rate 1 are one step on the mean gradient', async () => {
  const optimiser = { kind: 'sgd' } as const;
  const [want] = await train(2, [0, 5], { optimiser });
  const ranks = await train(2, [0, 5], { optimiser, outer: { every: 1, learningRate: 1, momentum: 0 } });
  for (const { values } of ranks) near(values, want?.values ?? []);
});

test("a round: runs that know nothing of each other, then the outer step with Nesterov's momentum", async () => {
  const outer = { every: 3, learningRate: 0.7, momentum: 0.9 };
  const inner = await Promise.all([0, 1].map((rank) => train(1, [0, 3], { batchesOf: () => rank })));
  const want = first.map((value, i) => {
    const gradient = value - inner.reduce((sum, [run]) => sum + (run?.values[i] as number) / 2, 0);
    return value - 0.7 * (gradient + 0.9 * gradient);
  });
  for (const { values } of await train(2, [0, 3], { outer })) near(values, want);
  const two = await train(2, [0, 6], { outer });
  assert.deepEqual(two[0]?.values, two[1]?.values);
});

test('before a checkpoint all ranks have the same states, and a resumed run the same bits', async () => {
  const outer = { every: 2, learningRate: 0.7, momentum: 0.9 };
  const ranks = await train(2, [0, 4], { outer });
  assert.deepEqual(ranks[0]?.saved, ranks[1]?.saved);
  assert.ok('outer_momentum/a' in (ranks[0]?.saved.tensors ?? {}));
  // A round that is cut off is ended by the checkpoint.
  const cut = await train(2, [0, 3], { outer });
  assert.deepEqual(cut[0]?.saved, cut[1]?.saved);
  const on = (start: TrainingState | undefined) => train(2, [4, 6], { outer, start });
  const [one, two] = [await on(ranks[0]?.saved), await on(ranks[1]?.saved)];
  assert.deepEqual(one[0]?.saved, two[1]?.saved);
});

test('settings that do not go together are refused by name', () => {
  const config = (training: object, steps = 100) =>
    trainingConfig(
      {
        model: { target: 'x.LatentDiffusion', base_learning_rate: 1, params: {} },
        lightning: { modelcheckpoint: { params: { every_n_train_steps: steps } } },
        training: { diloco: { every: 50 }, ...training },
      },
      'a.yaml',
      4,
    );
  const refused = (message: RegExp, ...given: Parameters<typeof config>): void =>
    assert.throws(() => ranksOfConfig(config(...given), alone, 'a.yaml'), { code: 'config-invalid', message });
  refused(/does not go with shard_states/, { shard_states: true });
  refused(/does not go with reduce_dtype/, { reduce_dtype: 'bfloat16' });
  refused(/every_n_train_steps is 70; .* multiple of diloco.every, 50/, {}, 70);
  assert.deepEqual(ranksOfConfig(config({}), alone, 'a.yaml').outer, { every: 50, learningRate: 0.7, momentum: 0.9 });
  // Each rank steps by its own batch: the rate is not multiplied by the ranks.
  assert.equal(config({}).loop.learningRate, 1);
});
