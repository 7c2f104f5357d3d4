/** Where a run is between its steps: kept in each checkpoint beside the weights, and restored from it. */

import * as z from 'zod';
import { StableDiffusionError } from '../errors.ts';
import type { OrderState } from './data/sample-order.ts';
import type { LoopOptions } from './loop-options.ts';

/** The part of a checkpoint outside the trainee's state. */
export interface LoopState {
  /** As the checkpoint's own; checkpoints of earlier versions lack it. */
  readonly step?: number | undefined;
  readonly seed: number;
  readonly order: OrderState | null;
  readonly trainee: unknown;
}

const loopStateSchema = z.object({
  step: z.int().nonnegative().optional(),
  seed: z.int().nonnegative(),
  order: z.record(z.string(), z.unknown()).nullable(),
  trainee: z.unknown(),
});

/** Where a run starts: the step that was last done, and the order of samples after it. */
export interface LoopStart {
  readonly step: number;
  readonly order: OrderState | undefined;
}

/** Restores the trainee from the checkpoint, and returns the state to continue from. Throws `config-invalid` for a checkpoint with another seed. */
export async function restore<Batch>({ run, trainee, seed }: LoopOptions<Batch>): Promise<LoopStart> {
  const { resumed } = run;
  if (!resumed) return { step: 0, order: undefined };
  try {
    const read = loopStateSchema.safeParse(resumed.state);
    if (!read.success)
      throw new StableDiffusionError(
        'file-corrupt',
        `${resumed.path} has no state of a training run. Use training.init to start from a model.`,
      );
    const state = read.data as LoopState;
    if (state.step !== undefined && state.step !== resumed.step)
      throw new StableDiffusionError(
        'file-corrupt',
        `${resumed.path} is inconsistent: it states both step ${resumed.step} and step ${state.step}.`,
      );
    if (state.seed !== seed)
      throw new StableDiffusionError(
        'config-invalid',
        `The run in ${run.folder} has the seed ${state.seed}, and ${seed} was given. Resume with the same seed.`,
      );
    await trainee.restore(resumed.weights, state.trainee);
    return { step: resumed.step, order: state.order ?? undefined };
  } finally {
    await resumed.weights.close();
  }
}
