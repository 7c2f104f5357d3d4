/**
 * The plain loop over an adapter's steps, for a script or a page. Runs with folders, checkpoints and reports are the business of the
 * training loop, which takes the same trainees.
 */

import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { mixSeed } from '../data/sample-order.ts';
import type { TrainingItem } from '../data/sample.ts';
import { constantRate, type LearningRateSchedule } from '../step/learning-rate.ts';
import type { Trainee, TraineeUpdate } from '../trainee.ts';

export interface TrainAdapterOptions {
  /** Batches of items (`trainingBatches`), enough for all steps. */
  readonly batches: AsyncIterable<{ readonly items: readonly TrainingItem[] }>;
  readonly steps: number;
  readonly learningRate: number;
  /** Factor on the learning rate by step. Default: 1 throughout. */
  readonly schedule?: LearningRateSchedule;
  /** Batches whose gradients are averaged for one step. Default 1. */
  readonly accumulate?: number;
  /** Seed of noise, timesteps and draws. Default 0. */
  readonly seed?: number;
  /** Completed steps of a resumed run. Default 0. */
  readonly firstStep?: number;
  readonly signal?: AbortSignal;
}

export interface AdapterUpdate extends TraineeUpdate {
  /** From 1. */
  readonly step: number;
  readonly steps: number;
  readonly learningRate: number;
}

/** Trains, yielding after each step. Throws `not-finite`, `aborted`, or `invalid-argument` if batches run out. */
export async function* trainAdapter<Batch>(
  trainee: Trainee<Batch>,
  options: TrainAdapterOptions,
): AsyncGenerator<AdapterUpdate, void, void> {
  const { steps, accumulate = 1, seed = 0, firstStep = 0, schedule = constantRate() } = options;
  let step = firstStep;
  let waiting: Batch[] = [];
  for await (const { items } of options.batches) {
    throwIfAborted(options.signal);
    waiting.push(await trainee.prepare(items, mixSeed(seed, step, waiting.length)));
    if (waiting.length < accumulate) continue;
    const learningRate = options.learningRate * schedule(step);
    const update = await trainee.update(waiting, { learningRate, step });
    waiting = [];
    yield { ...update, step: ++step, steps, learningRate };
    if (step >= steps) return;
  }
  if (step < steps)
    throw new StableDiffusionError(
      'invalid-argument',
      `The batches ended after ${step} of ${steps} steps. Let the data set repeat.`,
    );
}
