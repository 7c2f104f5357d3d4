/** The pictures of a request, by one model or by a cascade of them. Every task and every surface goes through here. */

import { demand, fieldsOf } from '../arguments.ts';
import type { TaskOptions } from '../generation/inputs.ts';
import { splitOptions } from '../generation/split-options.ts';
import type { Model } from '../model/model.ts';
import type { Pipeline } from './events.ts';
import { runStage } from './run-stage.ts';
import type { Start } from './start.ts';

/** Throws `invalid-argument` for what is no loaded model, such as a path or the promise of one. */
function demandModel(model: Model): void {
  const { checkpoint, networks } = fieldsOf(model, 'The model', 'a loaded one, as `await loadModel(…)` gives');
  demand(
    checkpoint !== undefined && networks !== undefined,
    'The model',
    'a loaded one, as `await loadModel(…)` gives',
    {},
  );
}

/**
 * Generates the pictures of a request. `start` replaces the start of the task, of the first model.
 * @throws `invalid-argument`, `too-large`, `shape-mismatch`, `aborted`, `not-finite`, `engine-failed`
 */
export async function* generate(model: Model, options: TaskOptions, start?: Start): Pipeline {
  demandModel(model);
  const split = splitOptions(options, model.checkpoint.recommendation?.settings);
  if ('outpaint' in split.request && split.request.outpaint) {
    const { runOutpaint } = await import('./outpainting/run.ts');
    yield* runOutpaint(model, split);
  } else if (split.request.enlarge) {
    const { runCascade } = await import('./cascade.ts');
    yield* runCascade(model, split);
  } else yield* runStage(model, split, start);
}
