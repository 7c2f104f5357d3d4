/**
 * Differences of models as LoRAs. With the signs of torch's singular vectors the factors of five random matrices were equal to those of
 * ComfyUI 0.3.64's `extract_lora` to 2e-4 of values up to 10; signs are a choice of each library, and the clamp depends on them.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { clipTextConfigSchema } from '../../src/config/network-config.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { openWorkflowFiles, workflowFolders } from '../../src/workflow/context-node.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { leadingTriplets, type Matrix } from '../../src/workflow/leading-singular.ts';
import { valuesOf } from '../../src/workflow/load-model.ts';
import { factorsOf } from '../../src/workflow/lora-factors.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { nodeOf } from './recorded-nodes.ts';

const turn = (): Promise<void> => Promise.resolve();
const random = (shape: readonly number[], seed: number): Tensor<'float32'> =>
  new TorchGenerator(seed).randn([...shape]);
const matrix = ({ shape: [rows = 1, columns = 1], data }: Tensor<'float32'>): Matrix => ({ rows, columns, data });

/** The largest |A v - s u|, and the largest difference of the right vectors from right angles. */
async function errors(given: Matrix, count: number): Promise<readonly [values: readonly number[], residual: number]> {
  const { rows, columns, data } = given;
  const { values, left, right } = await leadingTriplets(given, count, turn);
  let worst = 0;
  for (const [k, v] of right.entries()) {
    for (let r = 0; r < rows; r++) {
      const image = v.reduce((sum, value, c) => sum + value * (data[r * columns + c] as number), 0);
      worst = Math.max(worst, Math.abs(image - (values[k] as number) * (left[k]?.[r] as number)));
    }
    for (const [j, other] of right.entries()) {
      const angle = v.reduce((sum, value, i) => sum + value * (other[i] as number), 0);
      worst = Math.max(worst, Math.abs(angle - (j === k ? 1 : 0)));
    }
  }
  return [values, worst];
}

test('leading singular triplets are exact: of full, low and no rank, and with equal values', async () => {
  for (const [given, count] of [
    [random([40, 60], 1), 8],
    [random([60, 40], 2), 40],
    [random([90, 300], 3), 4],
  ] as const)
    assert.ok((await errors(matrix(given), count))[1] < 1e-7);
  const [a, b] = [random([50, 3], 4).data, random([3, 70], 5).data];
  const low = new Float32Array(50 * 70);
  for (let i = 0; i < low.length; i++)
    for (let k = 0; k < 3; k++)
      low[i] = (low[i] as number) + (a[Math.floor(i / 70) * 3 + k] as number) * (b[k * 70 + (i % 70)] as number);
  const [values, worst] = await errors({ rows: 50, columns: 70, data: low }, 8);
  assert.ok(worst < 1e-5 && (values[2] as number) > 1 && (values[3] as number) < 1e-5);
  const diagonal = new Float32Array(36);
  for (const [i, value] of [5, 5, 5, 2, 1, 1].entries()) diagonal[7 * i] = value;
  const [equal, off] = await errors({ rows: 6, columns: 6, data: diagonal }, 4);
  assert.deepEqual(
    equal.map((value) => Math.round(value * 1e6) / 1e6),
    [5, 5, 5, 2],
  );
  assert.ok(off < 1e-9);
  assert.deepEqual((await errors({ rows: 4, columns: 5, data: new Float32Array(20) }, 3))[0], [0, 0, 0]);
});

test('factors of a kernel have its form, and are clamped to the 0.99 quantile of their elements', async () => {
  const { up, down } = await factorsOf(random([16, 12, 3, 3], 6), 5, turn);
  assert.deepEqual(
    [up.shape, down.shape],
    [
      [16, 5, 1, 1],
      [5, 12, 3, 3],
    ],
  );
  const all = [...up.data, ...down.data].map(Math.abs).sort((a, b) => b - a);
  const limit = all[0] as number;
  assert.ok(all.filter((value) => value === limit).length >= Math.floor(all.length / 100));
});

const textEncoder = clipTextConfigSchema.parse({
  kind: 'clip_text',
  vocab_size: 600,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
});

test('LoraSave writes differences under the names that ComfyUI reads', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'sd-extract-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const context = { files: openWorkflowFiles(workflowFolders(root)) } as unknown as NodeContext;
  const { model, clip } = valuesOf(randomCheckpoint(textEncoder, 16));
  const given = { model_diff: model as ModelValue, text_encoder_diff: clip, rank: 4, bias_diff: true };
  await nodeOf('LoraSave').run({ ...given, filename_prefix: 'loras/a', lora_type: 'standard' }, context);
  await nodeOf('LoraSave').run(
    { ...given, filename_prefix: 'loras/b', lora_type: 'full_diff', bias_diff: false },
    context,
  );
  const [saved, whole] = await Promise.all(
    ['a', 'b'].map((name) => openWeightsAt(join(root, `output/loras/${name}_00001_.safetensors`))),
  );
  assert.ok(saved && whole);
  t.after(() => Promise.all([saved.close(), whole.close()]));
  const shapes = (name: string) => saved.entries.get(name)?.shape.join();
  const layer = 'input_blocks.1.0.in_layers.2';
  const [outputs, inputs] = model.network.weights.entries.get(`${layer}.weight`)?.shape ?? [];
  assert.equal(shapes(`diffusion_model.${layer}.lora_up.weight`), `${outputs},4,1,1`);
  assert.equal(shapes(`diffusion_model.${layer}.lora_down.weight`), `4,${inputs},3,3`);
  assert.equal(shapes(`diffusion_model.${layer}.diff_b`), `${outputs}`);
  assert.equal(shapes('diffusion_model.input_blocks.1.0.in_layers.0.diff'), `${inputs}`);
  const text = 'text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1';
  assert.equal(shapes(`${text}.lora_up.weight`), '32,4');
  assert.ok([...saved.entries.values()].every(({ dtype }) => dtype === 'float16'));
  assert.ok([...whole.entries.keys()].every((name) => name.endsWith('.diff')));
  const [got, own] = [
    toFloat32(await whole.read(`diffusion_model.${layer}.diff`)).data,
    toFloat32(await model.network.weights.read(`${layer}.weight`)).data,
  ];
  assert.ok(own.every((value, i) => Math.abs(value - (got[i] as number)) <= 1e-3 * Math.abs(value) + 1e-7));
});

test('a difference that is not finite is refused', async () => {
  await assert.rejects(factorsOf(float32([1, 2], [1, Number.NaN]), 1, turn), { code: 'not-finite' });
});
