/**
 * Measures how well the model follows prompts: one picture for each name of the training set, and whether the picture of that name is the
 * nearest of all training pictures, or among the three nearest, by the distance of Lab colours at 32 x 32.
 *
 *     node --import ./tools/typescript.mjs examples/train-pocket/measure-names.ts MODEL DATA [COUNT [GRID.png]]
 *
 * DATA is a folder of prepare-data.ts with metadata.jsonl. Prints one line of JSON. GRID gets 64 of the pictures, eight in a row.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadModel, textToImage } from 'stable-diffusion-ts';
import { flatten, type Image, imageGrid, resize } from 'stable-diffusion-ts/image';
import { nodeImageCodec } from 'stable-diffusion-ts/image/node';

const [modelPath, data, countText = '300', gridPath] = process.argv.slice(2);
if (modelPath === undefined || data === undefined) throw new Error('Usage: measure-names.ts MODEL DATA [COUNT [GRID]]');

const side = 32;

/** CIE Lab (D65) of an sRGB pixel. */
function lab(r: number, g: number, b: number): [number, number, number] {
  const linear = (value: number): number => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const [x, y, z] = [linear(r / 255), linear(g / 255), linear(b / 255)];
  const f = (t: number): number => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const fx = f((0.4124 * x + 0.3576 * y + 0.1805 * z) / 0.95047);
  const fy = f(0.2126 * x + 0.7152 * y + 0.0722 * z);
  const fz = f((0.0193 * x + 0.1192 * y + 0.9505 * z) / 1.08883);
  return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)];
}

function colours(image: Image): Float32Array {
  const small = resize(flatten(image), side, side, 'box');
  const out = new Float32Array(side * side * 3);
  for (let i = 0; i < side * side; i++)
    out.set(lab(small.data[3 * i] ?? 0, small.data[3 * i + 1] ?? 0, small.data[3 * i + 2] ?? 0), 3 * i);
  return out;
}

function distance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2;
  return sum;
}

const rows = (await readFile(join(data, 'metadata.jsonl'), 'utf8'))
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as { file_name: string; text: string[] });
const known = await Promise.all(
  rows.map(async ({ file_name, text }) => ({
    name: text[0] ?? '',
    colours: colours(await nodeImageCodec.decode(await readFile(join(data, file_name)))),
  })),
);

const count = Math.min(Number(countText), known.length);
const chosen = Array.from({ length: count }, (_, i) => Math.floor((i * known.length) / count));
const model = await loadModel(modelPath);
const pictures: Image<3>[] = [];
let nearest = 0;
let amongThree = 0;
for (const [done, index] of chosen.entries()) {
  const name = known[index]?.name ?? '';
  for await (const event of textToImage(model, { prompt: name, guidanceScale: 4, steps: 25, seed: 1 })) {
    if (event.kind !== 'result') continue;
    const picture = event.images[0]?.image;
    if (!picture) throw new Error(`no picture of ${name}`);
    if (Math.floor((done * 64) / count) >= pictures.length) pictures.push(picture);
    const drawn = colours(picture);
    const own = distance(drawn, (known[index] as (typeof known)[number]).colours);
    const nearer = known.filter((other) => distance(drawn, other.colours) < own).length;
    if (nearer === 0) nearest++;
    if (nearer < 3) amongThree++;
  }
  if (process.stderr.isTTY) process.stderr.write(`\r${done + 1} of ${count}`);
}
await model.dispose();
if (gridPath !== undefined)
  await writeFile(gridPath, await nodeImageCodec.encode(imageGrid(pictures, { columns: 8 }), { format: 'png' }));
console.log(JSON.stringify({ model: modelPath, names: count, nearest, amongThree }));
