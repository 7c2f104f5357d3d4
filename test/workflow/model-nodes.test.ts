/** Nodes that merge models by blocks and write them into files, and the vector of pictures that a model sees in place of a text. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { imageConditionSchema } from '../../src/config/image-condition.ts';
import { clipTextConfigSchema } from '../../src/config/network-config.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { openWorkflowFiles, workflowFolders } from '../../src/workflow/context-node.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { valuesOf } from '../../src/workflow/load-model.ts';
import { vectorOf } from '../../src/workflow/sampling/vector-inputs.ts';
import type { RunShape } from '../../src/workflow/sampling/run-shape.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { nodeOf, noContext } from './recorded-nodes.ts';

const textEncoder = clipTextConfigSchema.parse({
  kind: 'clip_text',
  vocab_size: 600,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
});
const first = valuesOf(randomCheckpoint(textEncoder, 16));
const second = valuesOf(randomCheckpoint(textEncoder, 16, { unet: { num_heads: 2 } }));

const values = async (source: WeightSource, name: string): Promise<ArrayLike<number>> =>
  toFloat32(await source.read(name)).data;
const run = async (name: string, inputs: object, context: NodeContext = noContext): Promise<readonly unknown[]> =>
  (await nodeOf(name).run(inputs as Record<string, unknown>, context)) as readonly unknown[];

test('ModelMergeSD1 takes the share of the longest prefix: block 1 is not block 10', async () => {
  const shares = Object.fromEntries(
    Object.keys(nodeOf('ModelMergeSD1').required ?? {}).flatMap((name) => (name.includes('.') ? [[name, 0]] : [])),
  );
  const other = { ...second.model, network: { ...second.model.network, weights: halved(first.model) } };
  const inputs = { ...shares, 'input_blocks.1.': 1, model1: first.model, model2: other };
  const [merged] = (await run('ModelMergeSD1', inputs)) as [ModelValue];
  for (const [name, share] of [
    ['input_blocks.1.0.in_layers.2.weight', 1],
    ['input_blocks.0.0.weight', 0.5],
  ] as const) {
    const [got, own] = [await values(merged.network.weights, name), await values(first.model.network.weights, name)];
    assert.ok(Math.abs((got[3] as number) - share * (own[3] as number)) < 1e-7, name);
  }
});

/** The weights times a half. */
const halved = ({ network: { weights } }: ModelValue): WeightSource => ({
  ...weights,
  entries: weights.entries,
  label: 'halved',
  close: () => Promise.resolve(),
  async read(name) {
    const value = toFloat32(await weights.read(name));
    return { ...value, data: value.data.map((one) => one / 2) };
  },
});

test('CheckpointSave writes a checkpoint that loads again with the same weights, and the graph in it', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'sd-save-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const files = openWorkflowFiles(workflowFolders(root));
  const prompt = new Map([['1', { class_type: 'CheckpointSave', inputs: {} }]]);
  const context = { files, prompt, isFloatInput: () => false, now: () => new Date(0) } as unknown as NodeContext;
  const { model, clip, vae } = first;
  await run('CheckpointSave', { model, clip, vae, filename_prefix: 'checkpoints/mine' }, context);
  await run('CLIPSave', { clip, filename_prefix: 'clip/mine' }, context);
  await run('VAESave', { vae, filename_prefix: 'vae/mine' }, context);
  await assert.rejects(run('ModelSave', { model, filename_prefix: '../mine' }, context), { code: 'forbidden' });
  const saved = await openCheckpointAt(join(root, 'output/checkpoints/mine_00001_.safetensors'));
  t.after(() => saved.close());
  assert.equal(saved.metadata.get('prompt'), '{"1": {"class_type": "CheckpointSave", "inputs": {}}}');
  for (const [part, source] of [
    ['unet', model.network.weights],
    ['first_stage', vae.network.weights],
    ['cond_stage', clip.encoders[0]?.network.weights as WeightSource],
  ] as const) {
    const names = [...source.entries.keys()];
    assert.deepEqual([...(saved.parts[part] as WeightSource).entries.keys()].sort(), names.sort(), part);
    const name = names[0] as string;
    assert.deepEqual(await values(saved.parts[part] as WeightSource, name), await values(source, name), part);
  }
  const text = await openWorkflowFiles({
    ...workflowFolders(root),
    models: { text_encoders: [join(root, 'output/clip')] },
  }).network('text_encoders', 'mine_clip_l_00001_.safetensors');
  assert.equal(text.config.kind, 'clip_text');
  await text.source.close();
});

test('pictures in place of a text: one, and the sum of two noised again, as PyTorch gives them', async () => {
  const width = 20;
  const condition = imageConditionSchema.parse({ kind: 'image_embedding', width, beta_schedule: 'squaredcos_cap_v2' });
  const { model } = first;
  const seeing = {
    ...model,
    config: { ...model.config, image_condition: condition },
    network: { ...model.network, config: { ...model.network.config, adm_in_channels: 2 * width } },
  } as ModelValue;
  const row = (of: (i: number) => number) => ({
    image_embeds: float32(
      [1, width],
      Float32Array.from({ length: width }, (_, i) => of(i)),
    ),
  });
  const cond = float32([1, 1, 1], [0]);
  const see = (conditioning: unknown, picture: object, strength: number, noise_augmentation: number) =>
    run('unCLIPConditioning', { conditioning, clip_vision_output: picture, strength, noise_augmentation });
  const [one] = await see(
    [{ cond }],
    row((i) => i / 10),
    0.8,
    0.1,
  );
  const [two] = await see(
    one,
    row((i) => 1 - i / 20),
    1.5,
    0,
  );
  const vector = async (entries: unknown): Promise<number[]> => {
    const made = await vectorOf(seeing, (entries as [{ cond: typeof cond }])[0], {
      seed: 3,
      shape: [],
    } as never as RunShape);
    return [0, 1, 19, 20, 39].map((i) => made?.data[i] as number);
  };
  const near = (got: readonly number[], want: readonly number[]): void => {
    for (const [i, value] of want.entries())
      assert.ok(Math.abs((got[i] as number) - value) < 2e-6, `${got[i]} ${value}`);
  };
  near(await vector(one), [-0.02417676, 0.20061193, 1.60654163, 0.6898551, 0.02009297]);
  near(await vector(two), [1.64434683, 1.61588967, 1.66608441, 0.96496606, 0.0125591]);
  assert.deepEqual(await vector([{ cond }]), [0, 0, 0, 0, 0]);
});
