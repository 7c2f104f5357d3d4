/** `sd eval bits`: bits per dimension of pictures under a model of guided-diffusion (its `image_nll.py`), the variational bound. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { required, UsageError } from '../options.ts';
import { print } from './pictures-of.ts';
import type { Task } from './task.ts';

export async function bits(task: Task): Promise<void> {
  const { values, context, progress, engine, communicator } = task;
  const path = required(values.models?.[0], '--model', 'eval');
  const folder = required(values.real, '--real', 'eval');
  const { admFlagsFor, parseAdmFlags, publishedAdmFlags } = await import('../../config/adm-published.ts');
  if (values.flags === undefined && !publishedAdmFlags(path))
    throw new UsageError(`--flags is required for ${path}: guided-diffusion's flags, as in its README.`);
  const flags = admFlagsFor(path, {
    ...parseAdmFlags(values.flags ?? ''),
    ...(values.steps === undefined ? {} : { timestep_respacing: String(values.steps) }),
  });
  const { openWeightsAt } = await import('../../formats/open-weights-node.ts');
  const { openPixelModel } = await import('../../model/pixel-model.ts');
  const { bitsPerDimension } = await import('../../diffusion/gaussian/index.ts');
  const { gatherRows } = await import('../../evaluation/gather-rows.ts');
  const { pictureSeed } = await import('../../random/picture-seed.ts');
  const { TorchGenerator } = await import('../../random/torch-generator.ts');
  const { imagesToTensor } = await import('../../image/image-tensor.ts');
  const { admCenterCrop, admClasses, admOrder } = await import('../../training/data/adm-pictures.ts');
  const { readSeed } = await import('../generation.ts');
  const { openImage } = await import('../../pipelines/image-files-node.ts');
  const { toRgb } = await import('../../image/image.ts');
  const seed = readSeed(values.seed);
  const weights = await openWeightsAt(path);
  try {
    await using model = await openPixelModel({ engine, flags, weights });
    if (model.smallSide !== undefined)
      throw new StableDiffusionError(
        'invalid-argument',
        `${path} is an upsampler; bits per dimension are of models of pictures.`,
      );
    const found = (await readdir(folder, { recursive: true })).map((name) => name.replaceAll('\\', '/'));
    const names = admOrder(found).slice(0, values.count);
    if (names.length === 0)
      throw new StableDiffusionError('invalid-argument', `${folder} has no pictures (.png, .jpg, .jpeg, .gif).`);
    const { classes } = admClasses(names);
    const places: number[] = [];
    const measured: number[] = [];
    for (const [index, name] of names.entries()) {
      if (index % communicator.size !== communicator.rank) continue;
      const generator = new TorchGenerator(pictureSeed(seed, index));
      const x = imagesToTensor(
        [admCenterCrop(toRgb(await openImage(join(folder, name))), model.side)],
        'compvis-inpaint-st',
      );
      const condition = { classes: model.classes === null ? undefined : [classes[index] ?? 0] };
      const made = await bitsPerDimension(model.process, model.network(condition), x, {
        noise: () => generator.randn(x.shape),
        signal: context.signal,
      });
      places.push(index);
      measured.push(made.total[0] ?? Number.NaN, made.prior[0] ?? Number.NaN);
      progress.step('pictures', index + 1, names.length);
    }
    const { count, data } = await gatherRows(communicator, places, Float64Array.from(measured));
    const mean = (column: number): number =>
      data.reduce((sum, value, i) => (i % 2 === column ? sum + value : sum), 0) / count;
    print(task, { bits_per_dimension: mean(0), prior: mean(1), pictures: count });
  } finally {
    await weights.close();
  }
}
