/** Models that do not make everything: an upscaler takes a picture, an inpainting model a mask as well. */

import type { CheckpointFacts } from '../model/checkpoint-facts.ts';
import type { ModelTask } from '../model/model-tasks.ts';
import { invalidField } from './http/problem.ts';

/** Throws `invalid-argument` at a field for a task that the model does not take: text to image of an upscaler or a refiner. */
export function checkTask(
  task: ModelTask,
  facts: CheckpointFacts,
  name: string,
  field: readonly (string | number)[],
): void {
  if (facts.tasks.includes(task)) return;
  throw invalidField(field, `${name} (${facts.family}) does not take ${task}; it takes ${facts.tasks.join(' and ')}.`);
}
