/** `sd eval reconstruction`: how well an autoencoder gives pictures back. */

import { join } from 'node:path';
import type { Communicator } from '../../distributed/communicator.ts';
import { gatherRows } from '../../evaluation/gather-rows.ts';
import { createImage, type Image } from '../../image/image.ts';
import { required } from '../options.ts';
import { firstSide, picturesOf, print, writeGrid } from './pictures-of.ts';
import type { Task } from './task.ts';

/** An autoencoder on a folder of pictures. */
export async function reconstruction(task: Task): Promise<void> {
  const { context, values, communicator } = task;
  const { reconstruct, reconstructionMeasures } = await import('../../evaluation/reconstruction.ts');
  const { preparePicture } = await import('../../training/data/prepare-picture.ts');
  const { TorchGenerator } = await import('../../random/torch-generator.ts');
  const autoencoder = await task.openAutoencoder(
    values.models?.[0] ?? (await import('../../model/load-model-node.ts')).pocketModel,
  );
  const perceptual = values.lpips && (await task.openLpips(values.lpips));
  const output = communicator.rank === 0 ? values.output : undefined;
  if (output !== undefined) {
    const { checkFree } = await import('../../files/write-file-node.ts');
    await checkFree(join(output, 'reconstruction.png'), values.force);
  }
  const folder = required(values.real, '--real', 'eval');
  const size = values.size ?? (await firstSide(folder, task));
  const places: number[] = [];
  const measured: number[] = [];
  const pictures: (readonly [Image, Image])[] = [];
  for await (const some of picturesOf(folder, values.count, task)) {
    const images = some.map(({ picture }) => preparePicture(picture.image, { size }, new TorchGenerator(0)));
    const results = await reconstruct(autoencoder, images, {
      signal: context.signal,
      ...(perceptual ? { perceptual } : {}),
    });
    places.push(...some.map(({ place }) => place));
    measured.push(...results.flatMap(({ psnr, ssim, lpips }) => [psnr, ssim, ...(lpips === undefined ? [] : [lpips])]));
    for (const [i, { image }] of results.entries())
      if ((some[i]?.place ?? 0) < shownPictures) pictures.push([images[i] as Image, image]);
  }
  const { count, width, data } = await gatherRows(communicator, places, Float64Array.from(measured));
  const rows = Array.from({ length: count }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);
  const grid = await pairsOfAll(communicator, places, pictures, size);
  if (output !== undefined) {
    const { makeFolder } = await import('../../files/make-folder-node.ts');
    await makeFolder(output);
    await writeGrid(
      join(output, 'reconstruction.png'),
      rowsOfPairs(grid),
      Math.min(columns, grid.length),
      values.force,
    );
  }
  const all = rows.map(([psnr = 0, ssim = 0, lpips]) => ({ psnr, ssim, ...(lpips === undefined ? {} : { lpips }) }));
  print(task, { ...reconstructionMeasures(all) });
}

/** Pictures of the grid, and of one of its rows. */
const [shownPictures, columns] = [32, 8];

/** The first pictures of all ranks, each with its reconstruction. */
async function pairsOfAll(
  communicator: Communicator,
  places: readonly number[],
  pictures: readonly (readonly [Image, Image])[],
  size: number,
): Promise<(readonly [Image, Image])[]> {
  const bytes = 3 * size * size;
  const own = new Uint8Array(2 * bytes * pictures.length);
  for (const [i, pair] of pictures.entries())
    for (const [j, { data }] of pair.entries()) own.set(data, (2 * i + j) * bytes);
  const { count, data } = await gatherRows(
    communicator,
    places.filter((place) => place < shownPictures),
    own,
  );
  const image = (at: number): Image => createImage(size, size, 3, data.slice(at * bytes, (at + 1) * bytes));
  return Array.from({ length: count }, (_, i) => [image(2 * i), image(2 * i + 1)] as const);
}

/** A row of pictures, then a row of their reconstructions, and so on. */
function rowsOfPairs(pairs: readonly (readonly [Image, Image])[]): Image[] {
  const rows: Image[] = [];
  for (let i = 0; i < pairs.length; i += columns)
    for (const of of [0, 1] as const) rows.push(...pairs.slice(i, i + columns).map((pair) => pair[of]));
  return rows;
}
