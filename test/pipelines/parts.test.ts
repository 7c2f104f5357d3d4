/** Sizes that the parts of a model cannot make. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';

test('pictures that the decoder cannot make are refused before they are sampled', async () => {
  await using engine = createNodeEngine();
  await using model = await loadModel(undefined, { engine });
  const start = textToImage(model, { prompt: 'x', width: 8192, height: 8192 });
  await assert.rejects(start.next(), { code: 'too-large' });
});
