/** BLIP against transformers and DeepDanbooru against A1111's network, with small weights (`describers-golden.py`). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { beamSearch } from '../../src/describing/beam-search.ts';
import { tagText } from '../../src/describing/tags.ts';
import { openDescriber } from '../../src/describing/open-node.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { clipTensor } from '../../src/image/clip-image.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { resize } from '../../src/image/resize.ts';
import { readDescriber } from '../../src/models/describers/index.ts';
import { int64, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { withNames } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { compareTensor } from '../parity.ts';
import { pick, readTensors } from '../tensors.ts';

const folder = fileURLToPath(new URL('../../fixtures/describers', import.meta.url));
const recorded = readTensors(join(folder, 'recorded.safetensors'));
const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

function pictureOf(name: string): Image<3> {
  const { shape, data } = pick(recorded, name);
  return createImage(shape[1] ?? 0, shape[0] ?? 0, 3, Uint8Array.from(data as Uint8Array));
}

function assertClose(made: Tensor | undefined, name: string, tolerance: number): void {
  compareTensor(
    { part: 'describers', case: name, output: name, reference: 'describers-golden.py', tolerance },
    made as Tensor,
    pick(recorded, name),
  );
}

/** Names of transformers as Salesforce's file has them. */
const salesforce = (name: string): string =>
  `model.${name
    .replace('vision_model.embeddings.class_embedding', 'visual_encoder.cls_token')
    .replace('vision_model.embeddings.position_embedding', 'visual_encoder.pos_embed')
    .replace('vision_model.embeddings.patch_embedding', 'visual_encoder.patch_embed.proj')
    .replace('vision_model.post_layernorm', 'visual_encoder.norm')
    .replace('vision_model.encoder.layers', 'visual_encoder.blocks')
    .replace('self_attn.projection', 'attn.proj')
    .replace('self_attn', 'attn')
    .replace('layer_norm', 'norm')}`;

async function captioner(source: WeightSource) {
  const network = readDescriber(source);
  assert.ok(network.kind === 'captioner');
  assert.deepEqual([network.title, network.side, network.tokens, network.longest], ['BLIP', 32, 28, 40]);
  const image = await engine.compile(network.traceImage(), network.weights);
  const text = await engine.compile(network.traceText(), network.weights);
  const memory = await image.run({ x: pick(recorded, 'x') });
  const next = async (sentences: readonly (readonly number[])[]): Promise<Float32Array[]> => {
    const ids = int64([sentences.length, sentences[0]?.length ?? 0], sentences.flat());
    const { logits } = await text.run({ ids, ...memory });
    return sentences.map((_, i) => (logits as Tensor<'float32'>).data.subarray(28 * i, 28 * (i + 1)));
  };
  return { next, text, memory };
}

const start = [26, 5, 6, 7];

test('the picture comes to BLIP as transformers hands it over', () => {
  assertClose(clipTensor([resize(pictureOf('picture'), 32, 32, 'bicubic')], 32), 'x', 1e-6);
});

test('BLIP says what transformers says, and so does the file with the names of Salesforce', async () => {
  const source = await openWeightsAt(join(folder, 'blip.safetensors'));
  const ofTransformers = await captioner(source);
  const { logits } = await ofTransformers.text.run({ ids: int64([1, 4], start), ...ofTransformers.memory });
  assertClose(logits, 'logits', 1e-4);
  const original = await captioner(withNames(source, salesforce));
  const again = await original.text.run({ ids: int64([1, 4], start), ...original.memory });
  // Its norms have an epsilon of 1e-6, not 1e-5.
  assertClose(again['logits'], 'logits', 2e-3);
});

test('sentences of every number of beams and of every length are those of transformers', async () => {
  const { next } = await captioner(await openWeightsAt(join(folder, 'blip.safetensors')));
  const sentences = JSON.parse(readFileSync(join(folder, 'sentences.json'), 'utf8')) as readonly {
    readonly beams: number;
    readonly shortest: number;
    readonly longest: number;
    readonly ids: readonly number[];
  }[];
  assert.ok(sentences.length > 20);
  for (const { ids, ...options } of sentences)
    assert.deepEqual(await beamSearch(next, { start, end: 3, ...options }), ids, JSON.stringify(options));
});

test('a caption is the sentence behind "a picture of"', async () => {
  const path = join(folder, 'blip.safetensors');
  await using describer = await openDescriber(engine, path);
  assert.ok(describer.kind === 'captioner');
  const words = readFileSync(join(folder, 'vocab.txt'), 'utf8').trimEnd().split('\n');
  const { next } = await captioner(await openWeightsAt(path));
  const ids = await beamSearch(next, { start, end: 3, beams: 1, shortest: 6, longest: 16 });
  const plain = ids
    .slice(4)
    .map((id) => words[id] ?? '')
    .filter((word) => word !== '' && (!word.startsWith('[') || word === '[UNK]'))
    .join(' ')
    .replaceAll(' ##', '')
    .replace(/ ([.,])/g, '$1')
    .replaceAll(" ' ", "'");
  assert.equal(await describer.caption(pictureOf('picture'), { shortest: 6, longest: 16 }), plain);
  assert.ok(plain.length > 3);
});

test('DeepDanbooru scores tags as the original, and writes them as A1111', async () => {
  await using describer = await openDescriber(engine, join(folder, 'deepdanbooru.pt'));
  assert.ok(describer.kind === 'tagger');
  const tags = await describer.tags(pictureOf('drawn'));
  const scores = { dtype: 'float32' as const, shape: [1, 37], data: Float32Array.from(tags, ({ score }) => score) };
  assertClose(scores, 'scores', 1e-5);
  assert.deepEqual([tags[0]?.name, tags[1]?.name, tags[36]?.name], ['long_(name)_0', 'tag_1', 'rating:explicit']);
  const some = [
    { name: 'b_c', score: 0.6 },
    { name: 'a_(b)', score: 0.75 },
    { name: 'rating:safe', score: 0.9 },
    { name: 'low', score: 0.4 },
  ];
  assert.equal(tagText(some), 'a \\(b\\), b c');
  assert.equal(tagText(some, { sorted: false, spaces: false, scores: true }), '(a_\\(b\\):0.750), (b_c:0.600)');
  assert.equal(tagText(some, { without: 'b c, x', escaped: false, threshold: 0 }), 'a (b), low');
});

test('files without the names of their tags, and other files, are refused by name', async () => {
  const source = await openWeightsAt(join(folder, 'deepdanbooru.pt'));
  assert.throws(
    () => readDescriber({ ...source, label: 'tagger.pt', metadata: new Map() }),
    /tagger\.pt has 37 scores of DeepDanbooru and the names of 0 tags/,
  );
  assert.throws(
    () => readDescriber(memoryWeights(new Map(), 'x.pth')),
    /x\.pth is not a network that describes pictures/,
  );
});
