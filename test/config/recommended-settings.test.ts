/** Settings that travel with a model, in its YAML or its file's metadata. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recommendationOf } from '../../src/config/recommended-settings.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';

test('a block of the YAML has the names that people use, and becomes defaults of a request', () => {
  const document = {
    model: {},
    recommended: {
      guidance: 4,
      steps: 25,
      sampler: 'Euler a',
      size: '512x768',
      clip_skip: 2,
      prompts: ['a red apple'],
    },
  };
  assert.deepEqual(recommendationOf(document, undefined, 'x'), {
    settings: { guidanceScale: 4, steps: 25, sampler: 'Euler a', width: 512, height: 768, clipSkip: 2 },
    prompts: ['a red apple'],
  });
  assert.deepEqual(recommendationOf({ model: {} }, undefined, 'x'), { settings: {}, prompts: [] });
});

test('metadata holds the same as JSON; the YAML comes first', () => {
  const metadata = JSON.stringify({ guidance: 3, size: 256 });
  const { settings } = recommendationOf(undefined, metadata, 'x');
  assert.deepEqual(settings, { guidanceScale: 3, width: 256, height: 256 });
  assert.deepEqual(recommendationOf({ recommended: { steps: 9 } }, metadata, 'x').settings, { steps: 9 });
});

test('what cannot be is refused', () => {
  for (const block of [{ steps: 1e9 }, { guidence: 4 }, { size: 'large' }, 5])
    assert.throws(() => recommendationOf({ recommended: block }, undefined, 'x'), { code: 'config-invalid' });
  assert.throws(() => recommendationOf(undefined, '{', 'x'), { code: 'config-invalid' });
});

test('the bundled model recommends 25 steps with guidance 4; the caller has the last word', async () => {
  await using engine = createNodeEngine({ threads: 1 });
  await using model = await loadModel(undefined, { engine });
  assert.deepEqual(model.checkpoint.recommendation?.settings, { guidanceScale: 4, steps: 25 });
  for await (const event of textToImage(model, { prompt: 'red apple', steps: 1, width: 64, height: 64 })) {
    if (event.kind !== 'result') continue;
    const { guidanceScale, steps } = event.images[0]?.record ?? {};
    assert.deepEqual([guidanceScale, steps], [4, 1]);
  }
});
