/** Pictures of the pocket model in int8 beside those in float32. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { PrecisionName } from '../../src/engine/precision.ts';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import type { GeneratedImage } from '../../src/pipelines/events.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

const prompts = ['a red apple', 'a white cat', 'a green tree', 'a blue house', 'a yellow sun'];

async function pictures(precision: PrecisionName): Promise<readonly GeneratedImage[]> {
  await using model = await loadModel(pocketModel, { engine, precision });
  for await (const event of textToImage(model, { prompt: prompts, seed: 4, steps: 5 }))
    if (event.kind === 'result') return event.images;
  throw new Error('no pictures were made');
}

test('pictures in int8 are close to those in float32, are the same each time, and record their precision', async () => {
  const [exact, small, again] = [await pictures('float32'), await pictures('int8'), await pictures('int8')];
  assert.equal(small.length, prompts.length);
  const ratios = small.map(({ image, record }, i) => {
    assert.equal(record.precision, 'int8');
    assert.deepEqual(again[i]?.image.data, image.data);
    const wanted = exact[i]?.image.data ?? new Uint8Array();
    const error = image.data.reduce((sum, value, at) => sum + (value - (wanted[at] ?? 0)) ** 2, 0) / image.data.length;
    assert.ok(error > 0);
    return 10 * Math.log10(255 ** 2 / error);
  });
  // A single picture may take another turn; over many the mean is 37 dB (docs/notes/int8.md).
  const median = ratios.sort((a, b) => a - b)[2] ?? 0;
  assert.ok(median > 25, `${ratios.map((ratio) => ratio.toFixed(1)).join(', ')} dB`);
});
