/** Segmentation by UniFormer against ControlNet's annotator (`uniformer-golden.py`). */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNodeEngine } from '../../src/engine/node.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { createAnnotator, preprocessorNamed, readAnnotator } from '../../src/preprocessors/index.ts';
import { classColours } from '../../src/preprocessors/segmentation.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { compareTensor } from '../parity.ts';
import { pick, readTensors } from '../tensors.ts';

const folder = fileURLToPath(new URL('../../fixtures/annotators', import.meta.url));
const recorded = readTensors(join(folder, 'uniformer.safetensors'));
const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

function network() {
  const weights = new Map(
    [...recorded].flatMap(([name, tensor]) =>
      name.startsWith('weights.') ? [[name.slice('weights.'.length), tensor] as const] : [],
    ),
  );
  return createAnnotator(engine, readAnnotator(memoryWeights(weights, 'upernet_global_small.pth')));
}

const blocks = pick(recorded, 'blocks').data as Uint8Array;

/** The recorded blocks, each `across` x `down` pixels. */
function picture(width: number, height: number, across: number, down: number): Image<3> {
  const made = createImage(width, height, 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = 3 * (Math.floor(y / down) * 20 + Math.floor(x / across));
      made.data.set(blocks.subarray(at, at + 3), 3 * (y * width + x));
    }
  return made;
}

test('UniFormer under UPerNet has the scores of the original, whatever the size', async () => {
  const [mean, deviation] = [
    [123.675, 116.28, 103.53],
    [58.395, 57.12, 57.375],
  ];
  const { data } = picture(75, 90, 4, 6);
  const x = Float32Array.from({ length: 3 * 90 * 75 }, (_, i) => {
    const [c, at] = [Math.floor(i / (90 * 75)), i % (90 * 75)];
    return ((data[3 * at + 2 - c] as number) - (mean[c] as number)) / (deviation[c] as number);
  });
  await using annotator = network();
  assert.equal(annotator.kind, 'uniformer');
  const { classes } = await annotator.run(float32([1, 3, 90, 75], x));
  const [, , h = 0, w = 0] = classes?.shape ?? [];
  const some = Array.from({ length: 17 }, (_, i) => [
    ...(classes as Tensor).data.subarray(9 * i * h * w, (9 * i + 1) * h * w),
  ]);
  compareTensor(
    { part: 'annotators', case: 'uniformer', output: 'odd', reference: 'uniformer-golden.py', tolerance: 2e-4 },
    float32([1, 17, h, w], Float32Array.from(some.flat().map(Number))),
    pick(recorded, 'odd'),
  );
});

test('pixels have the colours of their classes', async () => {
  await using annotator = network();
  const made = await classColours(picture(640, 512, 32, 32), annotator);
  const wanted = pick(recorded, 'colours').data as Uint8Array;
  let other = 0;
  for (let y = 0; y < 64; y++)
    for (let x = 0; x < 80; x++)
      for (let c = 0; c < 3; c++)
        if (made.data[3 * (8 * y * 640 + 8 * x) + c] !== wanted[3 * (80 * y + x) + c]) other++;
  // Places where two classes are as likely up to rounding.
  assert.ok(other <= 6, `${other} of ${wanted.length} values differ`);
});

test('the extension names it, and its map has the size of the picture at the resolution', async () => {
  assert.equal(preprocessorNamed('seg_ufade20k').name, 'segmentation');
  await using annotator = network();
  const chosen = preprocessorNamed('segmentation');
  assert.ok(chosen.network !== undefined);
  const settings = { resolution: 64, a: 0, b: 0, seed: 0, signal: undefined };
  const map = await chosen.run(picture(100, 80, 5, 5), settings, annotator);
  assert.deepEqual([map.width, map.height, map.channels], [80, 64, 3]);
});
