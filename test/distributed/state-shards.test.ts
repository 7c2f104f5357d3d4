/** Divided moments, averages and gradients: the same bits as undivided for the same number of ranks, in memory, in checkpoints, and after a change of ranks. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { dim } from '../../src/graph/dim.ts';
import { linear, mean, mul, sub, tanh } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { createTrainStep } from '../../src/training/step/create-train-step.ts';
import { initialWeights } from '../../src/training/step/initial-weights.ts';
import type { TrainingState } from '../../src/training/step/step-options.ts';
import type { TrainStep } from '../../src/training/step/train-step.ts';
import { localRanks } from './local-ranks.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

/** Parameters of 35, 7, 21 and 3 elements: no boundary of a rank is one of a parameter. */
const shapes = { 'a.weight': [7, 5], 'a.bias': [7], 'b.weight': [3, 7], 'b.bias': [3] } as const;
const graph = trace({ x: { dtype: 'float32', shape: [dim('batch'), 5] } }, ({ x }, p) => {
  const hidden = tanh(linear(x, p.get('a.weight', [7, 5]), p.get('a.bias', [7])));
  const y = sub(linear(hidden, p.get('b.weight', [3, 7]), p.get('b.bias', [3])), 1);
  return { loss: mean(mul(y, y)) };
});
const weights = initialWeights(
  Object.entries(shapes).map(([name, shape]) => ({ name, shape })),
  3,
);
const batch = (rank: number, i: number): { readonly x: Tensor } => ({
  x: new TorchGenerator(97 * rank + i).randn([2, 5]),
});

interface Run {
  readonly size: number;
  readonly sharded: boolean;
  readonly reduction?: 'bfloat16';
  readonly shardedGradients?: boolean;
  /** Of the backward pass. */
  readonly parts?: number;
  /** Batches of a step. Default 2. */
  readonly batches?: number;
  readonly steps: readonly [from: number, to: number];
  readonly start?: TrainingState;
}

/** What each rank has after the steps: its checkpoint, and the norms. */
function train({
  size,
  sharded,
  reduction,
  shardedGradients = false,
  parts = 1,
  batches = 2,
  steps: [from, to],
  start,
}: Run) {
  return Promise.all(
    localRanks(size).map(async (communicator, rank) => {
      await using step: TrainStep = await createTrainStep({
        engine,
        graph,
        weights,
        average: { decay: 0.9, of: (name) => name.startsWith('a.') },
        clipNorm: 0.3,
        ranks: { communicator, sharded, shardedGradients, parts, ...(reduction ? { reduction } : {}) },
      });
      if (start) await step.restore(start);
      const norms: number[] = [];
      for (let i = from; i < to; i++)
        norms.push(
          (await step.run([batch(rank, i), batch(rank, i + 50)].slice(0, batches), { learningRate: 0.05 }))
            .gradientNorm,
        );
      const during = await step.shards?.withAverages(() => step.parameters());
      const gradients = await step.gradients();
      const entries = [...step.state.entries].map(([name, { shape }]) => [name, shape[0] ?? 1] as const);
      return { saved: await step.save(), norms, during, gradients, entries, parameters: await step.parameters() };
    }),
  );
}

for (const size of [2, 3])
  test(`${size} ranks: divided states have the bits of undivided ones`, async () => {
    const whole = await train({ size, sharded: false, steps: [0, 4] });
    const divided = await train({ size, sharded: true, steps: [0, 4] });
    for (const [rank, { saved, norms, during, parameters }] of divided.entries()) {
      assert.deepEqual(saved, whole[rank]?.saved);
      assert.deepEqual(norms, whole[0]?.norms);
      assert.deepEqual(parameters, whole[0]?.parameters);
      // Within `withAverages` the parameters are their averages; `b` has none.
      assert.deepEqual(during?.['a.weight'], saved.tensors['ema/a.weight']);
      assert.deepEqual(during?.['b.weight'], saved.tensors['b.weight']);
    }
    assert.notDeepEqual(divided[0]?.saved.tensors['exp_avg/b.bias']?.data, new Float32Array(3));
  });

test('sums in bfloat16: near those in float32, the same bits on all ranks, divided or not', async () => {
  const exact = (await train({ size: 3, sharded: false, steps: [0, 1] }))[0];
  const whole = await train({ size: 3, sharded: false, reduction: 'bfloat16', steps: [0, 1] });
  const divided = await train({ size: 3, sharded: true, reduction: 'bfloat16', steps: [0, 1] });
  for (const rank of [0, 1, 2]) {
    assert.deepEqual(whole[rank]?.saved, whole[0]?.saved);
    assert.deepEqual(divided[rank]?.saved, whole[0]?.saved);
  }
  const [norm = 0, want = 0] = [whole[0]?.norms[0], exact?.norms[0]];
  assert.notEqual(norm, want);
  assert.ok(Math.abs(norm / want - 1) < 2 ** -7, `${norm}, not ${want}`);
});

test('a checkpoint of divided states goes on to the same bits, divided or not, and on another number of ranks', async () => {
  const start = (await train({ size: 2, sharded: true, steps: [0, 2] }))[0]?.saved as TrainingState;
  const want = (await train({ size: 2, sharded: true, steps: [0, 4] }))[0]?.saved;
  for (const sharded of [true, false])
    assert.deepEqual((await train({ size: 2, sharded, steps: [2, 4], start }))[0]?.saved, want);
  const three = await train({ size: 3, sharded: true, steps: [2, 2], start });
  assert.deepEqual(three[2]?.saved, start);
});

test('ranks share the moments', async () => {
  const lengths = await Promise.all(
    localRanks(2).map(async (communicator) => {
      await using step = await createTrainStep({ engine, graph, weights, ranks: { communicator, sharded: true } });
      return [...step.state.entries].filter(([name]) => name.includes('exp_avg/')).map(([, { shape }]) => shape[0]);
    }),
  );
  // One pack of 48 + 16 + 32 + 16 elements.
  assert.deepEqual(lengths, [[48], [64]]);
});

const numbersOf = (tensors: Readonly<Record<string, Tensor>>): number[] =>
  Object.entries(tensors)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, { data }]) => [...data].map(Number));

/** Within float32's rounding of sums. */
function near(got: readonly number[], want: readonly number[]): void {
  assert.equal(got.length, want.length);
  for (const [i, value] of got.entries()) assert.ok(Math.abs(value - (want[i] as number)) < 1e-6, `${i}: ${value}`);
}

for (const size of [2, 3])
  for (const parts of [1, 3])
    test(`${size} ranks, ${parts} parts: divided gradients have the bits of undivided ones`, async () => {
      const common = { size, parts, batches: 1, steps: [0, 4] } as const;
      const whole = await train({ ...common, sharded: false });
      const states = await train({ ...common, sharded: true });
      const divided = await train({ ...common, sharded: true, shardedGradients: true });
      for (const [rank, { saved, norms, gradients, entries }] of divided.entries()) {
        assert.deepEqual(saved, whole[0]?.saved);
        assert.deepEqual(states[rank]?.saved, whole[0]?.saved);
        assert.deepEqual(norms, whole[0]?.norms);
        assert.deepEqual(gradients, whole[0]?.gradients);
        // Of the gradients a rank has its part, and no whole pack.
        assert.deepEqual(
          entries.filter(([name]) => name.startsWith('gradient/')),
          [],
        );
        const own = entries.filter(([name]) => name.startsWith('part/gradient/')).reduce((sum, [, n]) => sum + n, 0);
        assert.ok(own > 0 && own < 112, `${own} of 112`);
      }
      // Parts of the backward pass give the gradients of the whole.
      const one = await train({ ...common, parts: 1, sharded: false });
      near(numbersOf(divided[0]?.saved.tensors ?? {}), numbersOf(one[0]?.saved.tensors ?? {}));
      // Batches that are accumulated are summed in another order.
      const more = await train({ ...common, batches: 2, sharded: true, shardedGradients: true });
      const want = await train({ ...common, batches: 2, sharded: false });
      near(numbersOf(more[1]?.saved.tensors ?? {}), numbersOf(want[0]?.saved.tensors ?? {}));
    });

test('divided gradients in bfloat16 have the same bits on all ranks', async () => {
  const common = { size: 3, parts: 2, batches: 1, reduction: 'bfloat16', steps: [0, 2] } as const;
  const whole = await train({ ...common, sharded: false });
  for (const { saved } of await train({ ...common, sharded: true, shardedGradients: true }))
    assert.deepEqual(saved, whole[0]?.saved);
});

test('the next part of the backward pass runs while gradients of the one before it are summed', async () => {
  const events: string[] = [];
  const [first, second] = localRanks(2);
  const noted = (ranks: NonNullable<typeof first>): typeof ranks => ({
    ...ranks,
    reduceScatter: async (values, counts) => {
      events.push('sum');
      return ranks.reduceScatter(values, counts);
    },
  });
  const noting: Engine = {
    ...engine,
    limits: engine.limits,
    provider: engine.provider,
    createState: () => engine.createState(),
    dispose: async () => {},
    [Symbol.asyncDispose]: async () => {},
    async compile(graph, source, options) {
      const program = await engine.compile(graph, source, options);
      if (!graph.outputs.some(({ name }) => name.startsWith('grad.'))) return program;
      return {
        graph: program.graph,
        run: (inputs, own) => program.run(inputs, own),
        dispose: () => program.dispose(),
        [Symbol.asyncDispose]: () => program.dispose(),
        async runBound(state, runs, own) {
          const result = await program.runBound(state, runs, own);
          events.push('part');
          return result;
        },
      };
    },
  };
  await Promise.all(
    [first, second].map(async (ranks, rank) => {
      if (!ranks) return;
      const communicator = rank === 0 ? noted(ranks) : ranks;
      await using step = await createTrainStep({
        engine: rank === 0 ? noting : engine,
        graph,
        weights,
        ranks: { communicator, parts: 3 },
      });
      await step.run(batch(rank, 0), { learningRate: 0.05 });
    }),
  );
  assert.ok(events.indexOf('sum') < events.lastIndexOf('part'), events.join());
});
