/** Training steps: a restored run goes on to the same bits, a loss that is not finite changes nothing, groups of parameters. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { trace } from '../../src/graph/trace.ts';
import { dim } from '../../src/graph/dim.ts';
import { div, mean, mul } from '../../src/graph/functions.ts';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.ts';
import { createTrainStep } from '../../src/training/step/create-train-step.ts';
import type { TrainStepOptions } from '../../src/training/step/step-options.ts';
import type { TrainStep } from '../../src/training/step/train-step.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { diffusionLoss } from '../../src/training/objective/diffusion.ts';
import { initialWeights } from '../../src/training/step/initial-weights.ts';
import { unet } from '../../src/models/unet.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { traceLike } from '../graph/run-graph.ts';
import { ldmSchedule, lossUnet } from '../parity/loss-unet.ts';
import { named } from '../parity/training-case.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

/** A tiny problem for behaviour that needs no reference. */
const tinyGraph = trace({ x: { dtype: 'float32', shape: [dim('batch'), 3] } }, ({ x }, p) => {
  const y = mul(mul(x, p.get('a', [3])), p.get('b', [1]));
  return { loss: mean(mul(y, y)), y };
});
const tinyWeights = memoryWeights(
  new Map([
    ['a', float32([3], [1, 2, 3])],
    ['b', float32([1], [0.5])],
  ]),
);
const tinyBatch = (seed: number): Readonly<Record<string, Tensor>> => ({
  x: float32(
    [2, 3],
    Array.from({ length: 6 }, (_, i) => Math.sin(seed + i)),
  ),
});

test('a restored run goes on to the same bits', async () => {
  const options: TrainStepOptions = {
    engine,
    graph: tinyGraph,
    weights: tinyWeights,
    average: { decay: 0.99 },
    clipNorm: 0.5,
  };
  const run = async (step: TrainStep, from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) await step.run([tinyBatch(i), tinyBatch(i + 100)], { learningRate: 1e-2 });
  };
  await using whole = await createTrainStep(options);
  await run(whole, 0, 6);
  await using first = await createTrainStep(options);
  await run(first, 0, 3);
  await using second = await createTrainStep(options);
  await second.restore(await first.save());
  await run(second, 3, 6);
  const [want, got] = [await whole.save(), await second.save()];
  assert.deepEqual(got, want);
  assert.equal(want.counts.steps, 6);
  await assert.rejects(second.restore({ tensors: { other: float32([1], [0]) } }), { code: 'shape-mismatch' });
});

test('a network of many kinds of layers repeats to the bit on two threads', async () => {
  const shape = [2, 4, 8, 8];
  const generator = new TorchGenerator(1);
  const batch = {
    x0: generator.randn(shape),
    noise: generator.randn(shape),
    t: int64([2], [17, 803]),
    c: generator.randn([2, 5, 16]),
  };
  const graph = traceLike(batch, (given, p) => {
    const objective = { x0: named(given, 'x0'), noise: named(given, 'noise'), t: named(given, 't') };
    const { loss } = diffusionLoss({ schedule: ldmSchedule() }, objective, (x, timesteps) =>
      unet(p, lossUnet, { x, timesteps, context: named(given, 'c') }),
    );
    return { loss };
  });
  const parameters = graph.parameters.map(({ name, value }) => ({ name, shape: value.shape.map(Number) }));
  const runs: Readonly<Record<string, Tensor>>[] = [];
  for (let i = 0; i < 2; i++) {
    await using step = await createTrainStep({ engine, graph, weights: initialWeights(parameters, 1) });
    for (let k = 0; k < 2; k++) await step.run(batch, { learningRate: 1e-3 });
    runs.push(await step.parameters());
  }
  assert.deepEqual(runs[0], runs[1]);
});

test('a loss that is not finite changes nothing', async () => {
  const graph = trace({ x: { dtype: 'float32', shape: [3] } }, ({ x }, p) => ({ loss: mean(div(p.get('a', [3]), x)) }));
  await using step = await createTrainStep({ engine, graph, weights: tinyWeights });
  const before = await step.parameters();
  await assert.rejects(step.run({ x: float32([3], [0, 1, 2]) }, { learningRate: 1e-2 }), { code: 'not-finite' });
  assert.deepEqual(await step.parameters(), before);
  assert.equal(step.steps, 0);
});

test('groups: a part is fixed, a part learns at its own rate, the rest decays without', async () => {
  await using step = await createTrainStep({
    engine,
    graph: tinyGraph,
    weights: tinyWeights,
    optimiser: { kind: 'sgd' },
    treatment: (name) => (name === 'a' ? { learningRateScale: 10 } : 'fixed'),
  });
  assert.deepEqual(step.trained, ['a']);
  const { tensors } = await step.run(tinyBatch(1), { learningRate: 1e-3 });
  assert.deepEqual(tensors['y']?.shape, [2, 3]);
  const gradient = (await step.gradients())['a']?.data as Float32Array;
  const moved = (await step.parameters())['a']?.data as Float32Array;
  for (let i = 0; i < 3; i++)
    assert.ok(Math.abs((moved[i] as number) - (i + 1 - 1e-2 * (gradient[i] as number))) < 1e-6);
});
