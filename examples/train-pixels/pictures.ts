/**
 * Pictures around the trainings of this folder: `small DATA OUT.npz` shrinks sixteen pictures to 16 x 16 for the upsampler, `grids OUT` puts the
 * sets that train.sh has made into grids.
 */

import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openNpz, writeNpz } from 'stable-diffusion-ts/evaluation';
import { createImage, flatten, type Image, imageGrid, resize } from 'stable-diffusion-ts/image';
import { nodeImageCodec } from 'stable-diffusion-ts/image/node';
import { memoryBytes } from 'stable-diffusion-ts/weights';

const count = 16;
const side = 16;

async function small(data: string, out: string): Promise<void> {
  const names = (await readdir(data)).filter((name) => name.endsWith('.png')).sort();
  const bytes = new Uint8Array(count * side * side * 3);
  for (let i = 0; i < count; i++) {
    const name = names[i * Math.floor(names.length / count)] as string;
    const picture = flatten(await nodeImageCodec.decode(new Uint8Array(await readFile(join(data, name)))));
    bytes.set(resize(picture, side, side, 'box').data, i * side * side * 3);
  }
  await writeFile(out, writeNpz({ arr_0: { dtype: 'uint8', shape: [count, side, side, 3], data: bytes } }));
}

async function picturesOf(path: string): Promise<Image<3>[]> {
  const archive = await openNpz(memoryBytes(new Uint8Array(await readFile(path)), path));
  const { shape, data } = await archive.read('arr_0');
  const [n = 0, height = 0, width = 0] = shape;
  const size = height * width * 3;
  return Array.from({ length: n }, (_, i) =>
    createImage(width, height, 3, (data as Uint8Array).slice(i * size, (i + 1) * size)),
  );
}

async function grids(out: string): Promise<void> {
  const write = async (name: string, images: readonly Image[]): Promise<void> => {
    const png = await nodeImageCodec.encode(imageGrid(images, { columns: 8 }), { format: 'png' });
    await writeFile(join(out, name), png);
  };
  for (const set of ['plain', 'guided'])
    await write(`${set}.png`, await picturesOf(join(out, set, 'samples_16x32x32x3.npz')));
  const before = (await picturesOf(join(out, 'small.npz'))).map((picture) => resize(picture, 64, 64, 'nearest'));
  await write('enlarged.png', [...before, ...(await picturesOf(join(out, 'enlarged', 'samples_16x64x64x3.npz')))]);
}

const [what, ...paths] = process.argv.slice(2) as [string, string, string];
if (what === 'small') await small(...paths);
else await grids(paths[0]);
