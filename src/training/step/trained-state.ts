/** The trained tensors as a trainee saves, restores and exports them: those of a step's state, read one at a time, and their averages. */

import { z } from 'zod';
import type { EngineState } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { WeightEntry, WeightSource } from '../../weights/weight-source.ts';
import type { TraineeCheckpoint } from '../trainee.ts';
import { stateNames } from './optimiser.ts';

/** The counts of a step, as a checkpoint keeps them. */
export const countsSchema = z.object({
  steps: z.int().nonnegative(),
  averageUpdates: z.int().nonnegative(),
});

export interface TrainedStateOptions {
  readonly state: EngineState;
  /** Tensors that a checkpoint needs. */
  readonly names: readonly string[];
  /** Parameters with an average. */
  readonly averaged: readonly string[];
  /** The possible mismatch, for messages: `model or optimiser`. */
  readonly kind: string;
}

export class TrainedState {
  readonly #options: TrainedStateOptions;
  readonly #averaged: ReadonlySet<string>;

  constructor(options: TrainedStateOptions) {
    this.#options = options;
    this.#averaged = new Set(options.averaged);
  }

  /** The name of a parameter's average, or of itself where it has none. */
  averageOf(name: string): string {
    return this.#averaged.has(name) ? stateNames.average(name) : name;
  }

  /** Inputs of a program over these parameters, bound to their averages. */
  averagedInputs(names: readonly string[]): Record<string, string> {
    return Object.fromEntries(names.map((name) => [name, this.averageOf(name)]));
  }

  async read(name: string): Promise<Tensor> {
    return (await this.#options.state.read([name]))[name] as Tensor;
  }

  entry(name: string): WeightEntry {
    return { name, dtype: 'float32', shape: this.#options.state.entries.get(name)?.shape ?? [] };
  }

  /** Everything, with counts and numbers. */
  checkpoint(state: unknown): TraineeCheckpoint {
    return {
      entries: this.#options.names.map((name) => this.entry(name)),
      provide: ({ name }) => this.read(name),
      state,
    };
  }

  /** Parameters alone, averages in place of the last values. */
  model(names: readonly string[]): Omit<TraineeCheckpoint, 'state'> {
    return { entries: names.map((name) => this.entry(name)), provide: ({ name }) => this.read(this.averageOf(name)) };
  }

  /**
   * Puts a checkpoint's tensors back and gives its counts and numbers. Throws `weights-mismatch` where a tensor is missing,
   * `file-corrupt` where the counts are not of the schema.
   */
  async restore<T>(saved: WeightSource, state: unknown, schema: z.ZodType<T>): Promise<T> {
    const { names, kind } = this.#options;
    const counts = schema.safeParse(state);
    if (!counts.success)
      throw new StableDiffusionError('file-corrupt', `${saved.label} has no counts of this training: it is damaged.`);
    const missing = names.filter((name) => !saved.entries.has(name));
    if (missing.length > 0)
      throw new StableDiffusionError(
        'weights-mismatch',
        `${saved.label} lacks ${missing.slice(0, 5).join(', ')}: it is of another ${kind}.`,
      );
    for (const name of names) await this.#options.state.write({ [name]: await saved.read(name) });
    return counts.data;
  }
}
