/** Models with a network that looks at an image (unCLIP, depth), written as one file: the names and values of the published files. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { compVisWeights } from '../../src/checkpoints/convert-layout.ts';
import { imageConditionWeights } from '../../src/checkpoints/image-condition-weights.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { bytesOf, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { layered } from '../families/tiny-models.ts';
import { reference, skipUnless } from '../reference.ts';
import { readTensors } from '../tensors.ts';

const skip = skipUnless('families/models/unclip');
const at = (path: string): string => join(reference('families/models'), path);
const yaml = () => parseYaml(readFileSync(at('unclip/model.yaml'), 'utf8'), 'model.yaml');
const embedder = () => readTensors(at('unclip/embedder.safetensors'));
const unClip = () =>
  new Map([
    ...layered(at('..'), ['models/sd2/sd2.safetensors', 'models/unclip/unet.safetensors']),
    ...embedder(),
    ...Array.from(
      readTensors(at('unclip/stats.safetensors')),
      ([name, value]) => [`noise_augmentor.data_${name}`, value] as const,
    ),
  ]);

async function assertHas(source: WeightSource, wanted: ReadonlyMap<string, Tensor>): Promise<void> {
  for (const [name, value] of wanted) {
    const found = await source.read(name);
    assert.deepEqual(found.shape, value.shape, name);
    assert.deepEqual(bytesOf(found), bytesOf(value), name);
  }
}

test('an unCLIP file is written with its image encoder and statistics, and read again', { skip }, async () => {
  const tensors = unClip();
  const opened = await openCheckpoint(memoryWeights(tensors, 'unclip'), { config: yaml() });
  const written = compVisWeights(opened);
  const kept = /^(model\.diffusion_model|first_stage_model|embedder|noise_augmentor)\./;
  await assertHas(written, new Map([...tensors].filter(([name]) => kept.test(name))));
  const again = await openCheckpoint(written, { config: yaml() });
  assert.deepEqual(again.config, opened.config);
  assert.deepEqual([...(again.parts['image_statistics']?.entries.keys() ?? [])].sort(), ['mean', 'std']);
});

test('without statistics the file is still one of image variations', { skip }, async () => {
  const tensors = new Map([...unClip()].filter(([name]) => !name.startsWith('noise_augmentor.')));
  const { config } = await openCheckpoint(memoryWeights(tensors, 'unclip'), {});
  assert.equal(config.image_condition?.kind, 'image_embedding');
});

test('the image encoder of a diffusers folder gets the names of the file', { skip }, async () => {
  const { config } = await openCheckpoint(memoryWeights(unClip(), 'unclip'), { config: yaml() });
  const encoder = memoryWeights(readTensors(at('unclip/image_encoder/model.safetensors')), 'image_encoder');
  const [written = assert.fail('nothing was written')] = imageConditionWeights({
    config,
    parts: { unet: encoder, first_stage: encoder, cond_stage: encoder, image_condition: encoder },
  });
  await assertHas(written, embedder());
});

test('a depth network lies under depth_model.model.', { skip }, async () => {
  const { config } = await openCheckpoint(memoryWeights(unClip(), 'unclip'), { config: yaml() });
  const network = memoryWeights(new Map([['scratch.x', float32([1], [1])]]), 'depth');
  const written = imageConditionWeights({
    config: { ...config, image_condition: { kind: 'depth', network: null } },
    parts: { unet: network, first_stage: network, cond_stage: network, image_condition: network },
  });
  assert.deepEqual(
    written.flatMap(({ entries }) => [...entries.keys()]),
    ['depth_model.model.scratch.x'],
  );
});
