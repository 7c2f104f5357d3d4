/**
 * How close pictures in a reduced precision are to those in float32: PSNR over prompts and seeds.
 *
 *     node --import ./tools/typescript.mjs bench/int8-quality.ts [--model FILE] [--precision int8] [--pictures 64] [--steps 25]
 */

import { parseArgs } from 'node:util';
import { createNodeEngine } from '../src/engine/node.ts';
import type { PrecisionName } from '../src/engine/precision.ts';
import { loadModel, pocketModel } from '../src/model/load-model-node.ts';
import { textToImage } from '../src/pipelines/text-to-image.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: pocketModel },
    precision: { type: 'string', default: 'int8' },
    pictures: { type: 'string', default: '64' },
    steps: { type: 'string', default: '25' },
  },
});

/** Short prompts of things that the pocket model knows, and some that it does not. */
const things = ['apple', 'cat', 'dog', 'house', 'tree', 'car', 'flower', 'fish', 'bird', 'sun', 'boat', 'cup'];
const colours = ['red', 'blue', 'green', 'yellow', 'white', 'black'];
const prompts = Array.from(
  { length: Number(values.pictures) },
  (_, i) => `a ${colours[i % colours.length]} ${things[i % things.length]}`,
);

const batchSize = 8;

async function pictures(precision: PrecisionName): Promise<Uint8Array[]> {
  await using engine = createNodeEngine();
  await using model = await loadModel(values.model, { engine, precision });
  const made: Uint8Array[] = [];
  for (let first = 0; first < prompts.length; first += batchSize) {
    const prompt = prompts.slice(first, first + batchSize);
    for await (const event of textToImage(model, { prompt, seed: first, steps: Number(values.steps) }))
      if (event.kind === 'result') made.push(...event.images.map(({ image }) => image.data));
  }
  return made;
}

function psnr(a: Uint8Array, b: Uint8Array): number {
  const error = a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0) / a.length;
  return 10 * Math.log10(255 ** 2 / error);
}

const exact = await pictures('float32');
const reduced = await pictures(values.precision as PrecisionName);
const all = exact.map((picture, i) => psnr(picture, reduced[i] ?? new Uint8Array())).sort((a, b) => a - b);
const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
console.log(
  JSON.stringify({
    precision: values.precision,
    pictures: all.length,
    mean,
    lowest: all[0],
    median: all[all.length >> 1],
  }),
);
