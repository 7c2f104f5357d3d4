/** `sd eval bits`: bits per dimension of pictures under a model of guided-diffusion (its `image_nll.py`), the variational bound. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { required, UsageError } from '../options.ts';
import { print } from './pictures-of.ts';
import type { Task } from './task.ts';

export async function bits(task: Task): Promise<void> {
  const { values, context, progress, engine } = task;
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
    const totals: number[] = [];
    const priors: number[] = [];
    for (const [index, name] of names.entries()) {
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
      totals.push(...made.total);
      priors.push(...made.prior);
      progress.step('pictures', index + 1, names.length);
    }
    const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
    print(task, { bits_per_dimension: mean(totals), prior: mean(priors), pictures: totals.length });
  } finally {
    await weights.close();
  }
}
