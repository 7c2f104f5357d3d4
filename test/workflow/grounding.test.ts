/** GLIGEN in workflows: phrases in boxes of an entry, on the model that comes with the program and a GLIGEN of random weights with open gates. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { DenoisingModel } from '../../src/model/extended-denoiser.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { groundingOf } from '../../src/workflow/grounding.ts';
import { valuesOf } from '../../src/workflow/load-model.ts';
import { NetworkPool } from '../../src/workflow/network-pool.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { controlRun } from '../../src/workflow/sampling/control-inputs.ts';
import { predictPrompts } from '../../src/workflow/sampling/predict.ts';
import { regionsOf } from '../../src/workflow/sampling/regions.ts';
import type { ConditioningEntry, ConditioningValue } from '../../src/workflow/values/conditioning.ts';
import type { GroundingValue } from '../../src/workflow/values/grounding.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';
import { randomGligenWeights } from '../control-models.ts';
import { maxDifference } from '../parity.ts';
import { nodeOf } from './recorded-nodes.ts';

const networks = new NetworkPool(createNodeEngine({ threads: 1 }));
after(async () => {
  await networks.dispose();
  await networks.engine.dispose();
});
let values: ReturnType<typeof valuesOf>;
let model: ModelValue;
let gligen: GroundingValue;
before(async () => {
  values = valuesOf(await openCheckpointAt(pocketModel));
  model = values.model;
  const denoising = { label: model.label, networks: { named: () => model.network } } as unknown as DenoisingModel;
  gligen = await groundingOf(randomGligenWeights(denoising));
});

const random = (seed: number, shape: readonly number[]): Tensor<'float32'> =>
  new TorchGenerator(seed).randn([...shape]);
const entry = (more: Partial<ConditioningEntry> = {}): ConditioningEntry => ({
  cond: random(6, [1, 77, model.network.config.context_dim ?? 1]),
  ...more,
});

async function placed(text: string, box: readonly number[], entries: ConditioningValue = [entry()]) {
  const [width, height, x, y] = box;
  const inputs = {
    conditioning_to: entries,
    clip: values.clip,
    gligen_textbox_model: gligen,
    text,
    width,
    height,
    x,
    y,
  };
  const [found] = (await nodeOf('GLIGENTextBoxApply').run(inputs, { networks } as unknown as NodeContext)) as [
    ConditioningValue,
  ];
  return found;
}

async function predicted(...prompts: ConditioningValue[]): Promise<Tensor<'float32'>[]> {
  const x = random(5, [1, model.network.config.in_channels, 8, 8]);
  const run = { shape: x.shape, latent: x, random: new TorchGenerator(0), seed: 0 };
  const regions = await regionsOf(model, prompts, run);
  const regionsFor = () => Promise.reject(new Error('no other prompt'));
  return predictPrompts({ model, networks, controls: controlRun(), regionsFor }, regions, x, 3);
}
const differs = (a: Tensor | undefined, b: Tensor | undefined): number => maxDifference(a as Tensor, b as Tensor);

test('a phrase in a box changes the prediction, by its place and its words; the negative prompt sees it too', async () => {
  const [plain, other] = await predicted([entry()], [entry()]);
  const [cat, shared] = await predicted(await placed('a cat', [32, 32, 0, 0]), [entry()]);
  assert.ok(differs(cat, plain) > 1e-3);
  assert.ok(differs(shared, other) > 1e-3);
  const [moved] = await predicted(await placed('a cat', [32, 32, 24, 8]), [entry()]);
  assert.ok(differs(moved, cat) > 1e-4);
  const [dog] = await predicted(await placed('a dog', [32, 32, 0, 0]), [entry()]);
  assert.ok(differs(dog, cat) > 1e-4);
});

test('a negative prompt with a phrase of its own sees no other', async () => {
  const [, alone] = await predicted([entry()], await placed('a dog', [32, 32, 0, 0]));
  const [, own] = await predicted(await placed('a cat', [32, 32, 0, 0]), await placed('a dog', [32, 32, 0, 0]));
  assert.ok(differs(own, alone) < 1e-5);
});

test('thirty phrases fit, one more is refused, and a file of another network', async () => {
  let entries: ConditioningValue = [entry()];
  for (let i = 0; i < 30; i++) entries = await placed(`thing ${i}`, [8, 8, i, 0], entries);
  assert.equal(entries[0]?.gligen?.phrases.length, 30);
  await predicted(entries);
  const more = await placed('one more', [8, 8, 0, 0], entries);
  await assert.rejects(predicted(more), { code: 'invalid-argument', message: /at most 30 phrases.*has 31/ });
  await assert.rejects(groundingOf(model.network.weights), { code: 'model-unknown' });
});
