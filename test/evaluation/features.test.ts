/** Networks of features: Inception v3 against pytorch-fid's with the same weights by a rule (fixtures/evaluation/inception.py); CLIP's embeddings, and what is measured with them. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { clipScore } from '../../src/evaluation/clip-score.ts';
import { featuresNetwork } from '../../src/evaluation/features.ts';
import { guidanceSweep } from '../../src/evaluation/guidance-sweep.ts';
import { measureSets } from '../../src/evaluation/picture-sets.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { traceInception } from '../../src/models/inception.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { elementCount, float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { compareTensor, maxDifference } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { smallClip } from './small-clip.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

/** Element i of a tensor, as inception.py makes it. */
function byRule(name: string, shape: readonly number[]): Tensor<'float32'> {
  let start = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) start = Math.imul(start ^ byte, 0x01000193);
  const uniform = (i: number): number => {
    let x = (start + i) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    x ^= x >>> 16;
    return ((x >>> 0) / 2 ** 32) * 2 - 1;
  };
  const fanIn = elementCount(shape.slice(1));
  const scaled: (u: number) => number = name.startsWith('fc')
    ? (u) => 0.05 * u
    : name.endsWith('conv.weight')
      ? (u) => Math.sqrt(6 / fanIn) * u
      : name.endsWith('bn.weight')
        ? (u) => 1 + 0.1 * u
        : name.endsWith('running_var')
          ? (u) => 1 + 0.3 * u
          : (u) => 0.1 * u;
  return tensor(
    'float32',
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, i) => scaled(uniform(i))),
  );
}

function lazily(names: readonly (readonly [name: string, shape: readonly number[]])[]): WeightSource {
  const shapes = new Map(names);
  return {
    label: 'weights by a rule',
    entries: new Map(names.map(([name, shape]) => [name, { name, dtype: 'float32' as const, shape }])),
    read: async (name) => byRule(name, shapes.get(name) ?? []),
    close: async () => {},
  };
}

function picture(height: number, width: number): Image<3> {
  const image = createImage(width, height, 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) image.data[(y * width + x) * 3 + c] = (2 * x + 3 * y + 60 * c + ((x * y) >> 5)) % 256;
  return image;
}

test('Inception v3: features and logits of pictures smaller and larger than 299 are those of pytorch-fid', async () => {
  const parameters = traceInception({ classes: 1008 }).parameters.map(
    ({ name, value }) => [name, value.shape.map(Number)] as const,
  );
  await using network = featuresNetwork(engine, lazily(parameters));
  assert.equal(network.kind, 'inception');
  assert.equal(network.texts, undefined);
  const want = readTensors(reference('evaluation/inception.safetensors'));
  for (const [name, image] of [
    ['small', picture(96, 128)],
    ['large', picture(320, 300)],
  ] as const) {
    const { features, logits } = await network.pictures([image]);
    // Float32 sums of up to 9,216 products in 94 layers, in another order: 1e-6 of the largest value, 3.6, would be too strict.
    compareTensor(
      { part: 'evaluation', case: 'inception', output: `${name}.features`, reference: 'pytorch-fid', tolerance: 2e-5 },
      features,
      pick(want, `${name}.features`),
    );
    compareTensor(
      { part: 'evaluation', case: 'inception', output: `${name}.logits`, reference: 'pytorch-fid', tolerance: 2e-5 },
      logits as Tensor,
      pick(want, `${name}.logits`),
    );
  }
});

test('a file that is no network of features is refused, with what would be one', () => {
  assert.throws(() => featuresNetwork(engine, memoryWeights(new Map([['conv.weight', float32([1], [0])]]))), {
    code: 'model-unknown',
  });
});

test('CLIP: one embedding a picture and one a text, whatever goes through the network together', async () => {
  await using network = featuresNetwork(engine, smallClip());
  const images = Array.from({ length: 18 }, (_, i) => picture(40 + i, 60));
  const { features, logits } = await network.pictures(images);
  assert.deepEqual(features.shape, [18, 8]);
  assert.equal(logits, undefined);
  const alone = await network.pictures(images.slice(17));
  assert.ok(maxDifference(alone.features, float32([1, 8], features.data.subarray(17 * 8))) < 1e-5);
  const texts = await network.texts?.(['a red apple', 'blue heart']);
  assert.deepEqual(texts?.shape, [2, 8]);
  await assert.rejects(network.pictures([]), { code: 'invalid-argument' });
});

test('the same pictures twice: FID and KID of 0, full precision and recall', async () => {
  await using network = featuresNetwork(engine, smallClip());
  const set = await network.pictures(Array.from({ length: 12 }, (_, i) => picture(32 + 3 * i, 50 + i)));
  const measures = measureSets(set, set, new TorchGenerator(0));
  assert.ok(Math.abs(measures.fid) < 1e-6);
  assert.equal(measures.precision, 1);
  assert.equal(measures.recall, 1);
  assert.deepEqual([measures.real, measures.generated, measures.dimensions], [12, 12, 8]);
});

test('guidance sweep: a point a scale, with the same captions and seeds', async () => {
  await using network = featuresNetwork(engine, smallClip());
  await using model = await loadModel(undefined, { engine });
  const captions = ['grinning face', 'blue heart', 'cat face'];
  const real = await network.pictures(Array.from({ length: 6 }, (_, i) => picture(64, 50 + i)));
  const points = [];
  for await (const event of guidanceSweep({
    model,
    captions,
    real,
    features: network,
    clip: network,
    scales: [1, 3],
    generate: { steps: 2, seed: 1 },
    batchSize: 2,
  }))
    if (event.kind === 'point') points.push(event);
  assert.deepEqual(
    points.map(({ point }) => point.scale),
    [1, 3],
  );
  for (const { point, images } of points) {
    const { features } = await network.pictures(images);
    assert.ok(Number.isFinite(point.fid));
    assert.equal(point.clipScore, clipScore(features, (await network.texts?.(captions)) as Tensor).mean);
  }
});
