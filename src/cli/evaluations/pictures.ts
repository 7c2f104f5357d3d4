/** `sd eval pictures`: measures between two folders of pictures. */

import { readSeed } from '../generation.ts';
import { required } from '../options.ts';
import { featuresOf, print } from './pictures-of.ts';
import type { Task } from './task.ts';

/** Two folders of pictures. */
export async function pictures(task: Task): Promise<void> {
  const { values } = task;
  const { measureSets } = await import('../../evaluation/picture-sets.ts');
  const { TorchGenerator } = await import('../../random/torch-generator.ts');
  const folders = [required(values.real, '--real', 'eval'), required(values.made, '--made', 'eval')] as const;
  const network = await task.openFeatures(required(values.features, '--features', 'eval'));
  const [real, made] = [
    (await featuresOf(folders[0], values.count, network, task)).features,
    (await featuresOf(folders[1], values.count, network, task)).features,
  ];
  if (task.communicator.rank > 0) return;
  print(task, { ...measureSets(real, made, new TorchGenerator(readSeed(values.seed))) });
}
