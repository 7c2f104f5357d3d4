/** `pictures` and `encodeImage`: a picture in two calls, and as bytes for an answer. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { inspectImageFile } from '../../src/image/codec/image-file.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { encodeImage } from '../../src/pipelines/image-files-node.ts';
import { pictures } from '../../src/pipelines/pictures.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';

test('the pictures of a run, with its steps told, as bytes with their settings', async () => {
  const model = await loadModel();
  const steps: number[] = [];
  const made = await pictures(
    textToImage(model, { prompt: 'red apple', steps: 2, batchSize: 2, width: 64, height: 64, sampler: 'ddim' }),
    { onStep: ({ step }) => steps.push(step) },
  );
  await model.dispose();
  assert.deepEqual(steps, [1, 2]);
  assert.equal(made.length, 2);
  const [first] = made;
  assert.ok(first);
  for (const format of ['png', 'jpeg', 'webp'] as const) {
    const bytes = await encodeImage(first, { format, quality: 80 });
    assert.equal(inspectImageFile(bytes).format, format);
    assert.match(readImageMetadata(bytes).parameters ?? '', /^red apple\n.*Steps: 2/s);
  }
});

test('a run that ends without pictures is an error', async () => {
  await assert.rejects(pictures((async function* () {})()), { code: 'aborted' });
});
