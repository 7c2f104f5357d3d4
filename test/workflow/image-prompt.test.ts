/** IP-Adapters in a workflow's model, on the model that comes with the program and an adapter of random weights. Properties of a sum that is linear in the weight. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { DenoisingModel } from '../../src/model/extended-denoiser.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { type ImagePromptOptions, withImagePrompt } from '../../src/workflow/image-prompt.ts';
import { valuesOf } from '../../src/workflow/load-model.ts';
import { NetworkPool } from '../../src/workflow/network-pool.ts';
import { controlRun } from '../../src/workflow/sampling/control-inputs.ts';
import { predictPrompts } from '../../src/workflow/sampling/predict.ts';
import { regionsOf } from '../../src/workflow/sampling/regions.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';
import { randomImagePromptWeights } from '../control-models.ts';
import { maxDifference } from '../parity.ts';

let engine: Engine;
let networks: NetworkPool;
let model: ModelValue;
let adapter: ImagePromptOptions['adapter'];
before(async () => {
  engine = createNodeEngine({ threads: 1 });
  networks = new NetworkPool(engine);
  model = valuesOf(await openCheckpointAt(pocketModel)).model;
  const denoising = { label: model.label, networks: { named: () => model.network } } as unknown as DenoisingModel;
  adapter = { holdsNetworks: true, source: randomImagePromptWeights(denoising) };
});
after(async () => {
  await networks.dispose();
  await engine.dispose();
});

const random = (seed: number, shape: readonly number[]): Tensor<'float32'> =>
  new TorchGenerator(seed).randn([...shape]);
const embeds = { positive: random(3, [1, 20]), negative: float32([1, 20], new Float32Array(20)) };

const prompted = (weight: number, more: Partial<ImagePromptOptions> = {}, own = model): Promise<ModelValue> =>
  withImagePrompt(own, { adapter, embeds, weight, weightType: 'linear', start: 0, end: 1, ...more }, {
    networks,
  } as NodeContext);

/** The predictions of a positive and a negative prompt. */
async function predicted(own: ModelValue, sigma = 3): Promise<Tensor<'float32'>[]> {
  const x = random(5, [1, model.network.config.in_channels, 8, 8]);
  const cond = random(6, [1, 77, model.network.config.context_dim ?? 1]);
  const run = { shape: x.shape, latent: x, random: new TorchGenerator(0), seed: 0 };
  const regions = await regionsOf(own, [[{ cond }], [{ cond }]], run);
  const regionsFor = () => Promise.reject(new Error('no other prompt'));
  return predictPrompts({ model: own, networks, controls: controlRun(), regionsFor }, regions, x, sigma);
}
const differs = (a: readonly Tensor<'float32'>[], b: readonly Tensor<'float32'>[], at: number): number =>
  maxDifference(a[at] as Tensor, b[at] as Tensor);

test('a picture of weight 0, or outside its part of the run, changes nothing; within it both prompts see their own', async () => {
  const plain = await predicted(model);
  for (const off of [await prompted(0), await prompted(1, { start: 0.9 })]) {
    const found = await predicted(off);
    for (const at of [0, 1]) assert.ok(differs(found, plain, at) < 1e-5, `prompt ${at}`);
  }
  const seen = await predicted(await prompted(1));
  assert.ok(differs(seen, plain, 0) > 1e-3);
  assert.ok(maxDifference(seen[0] as Tensor, seen[1] as Tensor) > 1e-3);
});

test('two adapters of half the weight are one of the whole', async () => {
  const half = await prompted(0.4);
  const both = await predicted(await prompted(0.4, {}, half));
  const whole = await predicted(await prompted(0.8));
  for (const at of [0, 1]) assert.ok(differs(both, whole, at) < 1e-4, `prompt ${at}: ${differs(both, whole, at)}`);
});

test('a mask of ones is no mask, one of zeros no adapter; weights by layer differ from the same in all', async () => {
  const mask = (value: number) => float32([1, 64, 64], new Float32Array(64 * 64).fill(value));
  const [whole, ones, none] = [
    await prompted(1),
    await prompted(1, { mask: mask(1) }),
    await prompted(1, { mask: mask(0) }),
  ];
  assert.ok(differs(await predicted(ones), await predicted(whole), 0) < 1e-5);
  assert.ok(differs(await predicted(none), await predicted(model), 0) < 1e-5);
  const eased = await prompted(1, { weightType: 'ease in' });
  assert.ok(differs(await predicted(eased), await predicted(whole), 0) > 1e-4);
});
