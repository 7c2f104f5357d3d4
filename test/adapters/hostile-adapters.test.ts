/** Embeddings and LoRAs that lie about their size, carry state of a training, or have parts that no layer can use. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { deltaSizes } from '../../src/adapters/lora/lora-delta.ts';
import { readEmbeddings, withEmbeddings } from '../../src/adapters/textual-inversion.ts';
import { ignoredReason } from '../../src/checkpoints/report.ts';
import type { ClipTextConfig } from '../../src/config/network-config.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { withPlaceholders } from '../../src/tokenizer/clip-placeholders.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';

const zeros = (...shape: number[]): Tensor<'float32'> =>
  float32(shape, new Float32Array(shape.reduce((product, size) => product * size, 1)));
const one = (value: number): Tensor => tensor('float32', [], Float32Array.of(value));
const fileOf = (tensors: Readonly<Record<string, Tensor>>): WeightSource =>
  memoryWeights(new Map(Object.entries(tensors)), 'style.pt');

test('the original’s file: string_to_param is the embedding, the rest is state', async () => {
  const read = await readEmbeddings(
    fileOf({
      'string_to_token/*': one(265),
      'string_to_param/*': zeros(2, 8),
      step: one(5),
      'optimizer_state_dict/state/0/exp_avg': zeros(2, 8),
    }),
    { token: 'zz' },
  );
  assert.deepEqual(
    read.map(({ token, vectors }) => [token, vectors.shape]),
    [['zz', [2, 8]]],
  );
});

test('state beside a named embedding is passed over', async () => {
  const read = await readEmbeddings(fileOf({ '<cat>': zeros(8), global_step: one(3), 'optimizer/exp_avg': zeros(8) }));
  assert.deepEqual(
    read.map(({ token }) => token),
    ['<cat>'],
  );
});

test('single numbers of a training are no embeddings; several placeholders of the original keep their names', async () => {
  const tokens = async (tensors: Readonly<Record<string, Tensor>>) =>
    (await readEmbeddings(fileOf(tensors))).map(({ token }) => token);
  assert.deepEqual(await tokens({ emb_params: zeros(2, 8), lr: one(0.1), loss: one(3) }), ['style']);
  assert.deepEqual(await tokens({ 'string_to_param/*': zeros(2, 8), lr: one(0.1) }), ['style']);
  assert.deepEqual(await tokens({ 'string_to_param/a': zeros(2, 8) }), ['style']);
  assert.deepEqual(await tokens({ 'string_to_param/a': zeros(2, 8), 'string_to_param/b': zeros(1, 8) }), ['a', 'b']);
  await assert.rejects(tokens({ lr: one(0.1) }), { code: 'file-unsupported' });
});

/** A file that says it has more than it has: nothing of it may be read. */
function lying(entries: Readonly<Record<string, readonly number[]>>): WeightSource {
  return {
    label: 'evil.pt',
    entries: new Map(Object.entries(entries).map(([name, shape]) => [name, { name, dtype: 'float32', shape }])),
    read: () => assert.fail('read before it was checked'),
    close: async () => {},
  };
}

test('sizes are checked before anything is read', async () => {
  await assert.rejects(readEmbeddings(lying({ emb_params: [65536, 64] })), { code: 'too-large' });
  const many = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`k${i}`, [1, 768]]));
  await assert.rejects(readEmbeddings(lying(many)), { code: 'too-large', message: /3000 tensors/ });
  await assert.rejects(readEmbeddings(lying({ ['x'.repeat(1_000_000)]: [1, 768] })), { code: 'too-large' });
  await assert.rejects(readEmbeddings(lying({ emb_params: [] })), { code: 'file-unsupported' });
  await assert.rejects(readEmbeddings(lying({ emb_params: [2, 2, 8] })), { code: 'file-unsupported' });
});

test('two embeddings whose names differ in case are two of one name', () => {
  const config = { vocab_size: 4, hidden_size: 8 } as ClipTextConfig;
  const encoder = fileOf({ 'transformer.text_model.embeddings.token_embedding.weight': zeros(4, 8) });
  const embeddings = ['Foo', 'foo'].map((token) => ({ token, vectors: zeros(1, 8) }));
  assert.throws(() => withEmbeddings(encoder, config, embeddings), { code: 'invalid-argument', message: /case/ });
});

test('a space in a placeholder is any white space of the prompt', () => {
  const tokenizer = withPlaceholders(createClipTokenizer(), [{ token: 'my style', ids: [50000] }]);
  for (const text of ['a My  style', 'a my\nstyle', 'a my style'])
    assert.deepEqual(tokenizer.encode(text).at(-1), 50000, JSON.stringify(text));
});

const module = (tensors: Readonly<Record<string, Tensor>>) => {
  const file = openLora(
    fileOf(Object.fromEntries(Object.entries(tensors).map(([role, value]) => [`lora_unet_x.${role}`, value]))),
  );
  return () => deltaSizes(file, file.modules[0] ?? assert.fail());
};
const factors = { 'lora_down.weight': zeros(4, 16), 'lora_up.weight': zeros(32, 4) };

test('alpha, rank and magnitude of shapes that a layer cannot use are refused by name', () => {
  assert.deepEqual(module({ ...factors, alpha: one(4) })().weight, [32, 16]);
  assert.deepEqual(module({ ...factors, dora_scale: zeros(32, 1) })().weight, [32, 16]);
  assert.deepEqual(module({ ...factors, dora_scale: zeros(1, 16) })().weight, [32, 16]);
  const refused = (tensors: Readonly<Record<string, Tensor>>, message: RegExp) =>
    assert.throws(module({ ...factors, ...tensors }), { code: 'weights-mismatch', message });
  refused({ alpha: zeros(2) }, /alpha of module .* \[2\].*one number/);
  refused({ alpha: zeros(0) }, /alpha of module .* \[0\]/);
  refused({ dora_scale: zeros(1) }, /dora_scale.*\[1\].*32 rows/);
  refused({ dora_scale: zeros(2, 1) }, /dora_scale.*\[2, 1\]/);
  refused({ 'lora_down.weight': zeros(0, 16), 'lora_up.weight': zeros(32, 0) }, /rank.*is 0/);
});

test('what ComfyUI and trainings leave in checkpoints is passed over', () => {
  for (const name of [
    'logit_scale',
    'cond_stage_model.logit_scale',
    'cond_stage_model.text_projection',
    'cond_stage_model.transformer.text_projection.weight',
    'cond_stage_model.transformer.text_model.text_projection.weight',
    'cond_stage_model.transformer.visual_projection.weight',
    'cond_stage_model.transformer.vision_model.embeddings.class_embedding',
    'embedding_manager.embedder.string_to_param_dict.*',
    'global_step',
  ])
    assert.ok(ignoredReason(name), name);
  assert.equal(ignoredReason('cond_stage_model.transformer.text_model.final_layer_norm.weight'), undefined);
});
