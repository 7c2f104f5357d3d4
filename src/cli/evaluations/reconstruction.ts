/** `sd eval reconstruction`: how well an autoencoder gives pictures back. */

import { join } from 'node:path';
import type { Reconstructed } from '../../evaluation/reconstruction.ts';
import type { Image } from '../../image/image.ts';
import { required } from '../options.ts';
import { picturesOf, print, writeGrid } from './pictures-of.ts';
import type { Task } from './task.ts';

/** An autoencoder on a folder of pictures. */
export async function reconstruction(task: Task): Promise<void> {
  const { context, values } = task;
  const { reconstruct, reconstructionMeasures } = await import('../../evaluation/reconstruction.ts');
  const { preparePicture } = await import('../../training/data/prepare-picture.ts');
  const { TorchGenerator } = await import('../../random/torch-generator.ts');
  const autoencoder = await task.openAutoencoder(
    values.models?.[0] ?? (await import('../../model/load-model-node.ts')).pocketModel,
  );
  const perceptual = values.lpips && (await task.openLpips(values.lpips));
  if (values.output !== undefined) {
    const { checkFree } = await import('../../files/write-file-node.ts');
    await checkFree(join(values.output, 'reconstruction.png'), values.force);
  }
  const measured: Omit<Reconstructed, 'image'>[] = [];
  const shown: Image[][] = [];
  let size = values.size;
  for await (const some of picturesOf(required(values.real, '--real', 'eval'), values.count, task)) {
    size ??= Math.min(some[0]?.image.width ?? 0, some[0]?.image.height ?? 0);
    const side = size;
    const images = some.map(({ image }) => preparePicture(image, { size: side }, new TorchGenerator(0)));
    const results = await reconstruct(autoencoder, images, {
      signal: context.signal,
      ...(perceptual ? { perceptual } : {}),
    });
    measured.push(...results.map(({ image: _, ...measures }) => measures));
    for (let i = 0; i < images.length && shown.length < 8; i += 8)
      shown.push(
        images.slice(i, i + 8),
        results.slice(i, i + 8).map(({ image }) => image),
      );
  }
  if (values.output !== undefined) {
    const { makeFolder } = await import('../../files/make-folder-node.ts');
    await makeFolder(values.output);
    await writeGrid(
      join(values.output, 'reconstruction.png'),
      shown.flat(),
      Math.min(8, shown[0]?.length ?? 1),
      values.force,
    );
  }
  print(task, { ...reconstructionMeasures(measured) });
}
