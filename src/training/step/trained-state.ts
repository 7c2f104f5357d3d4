/** The trained tensors as a trainee saves, restores and exports them: those of a step's state, read one at a time, and their averages. */

import * as z from 'zod';
import type { EngineState } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { WeightEntry, WeightSource } from '../../weights/weight-source.ts';
import type { TraineeCheckpoint } from '../trainee.ts';
import { stateNames } from './optimiser.ts';
import type { StateShards } from './state-shards.ts';

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
  /** Those of the steps whose moments and averages are divided over ranks. */
  readonly shards?: readonly (StateShards | undefined)[];
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

  /** The divided tensors that have one of this name. */
  #shardsOf(name: string): StateShards | undefined {
    return this.#options.shards?.find((shards) => shards?.shapeOf(name));
  }

  /** The name of a parameter's average, or of itself where it has none, or where averages are divided (`withAverages`). */
  averageOf(name: string): string {
    return this.#averaged.has(name) && !this.#shardsOf(stateNames.average(name)) ? stateNames.average(name) : name;
  }

  /** Does `work` while averages can be read by `averageOf`. All ranks do it where they are divided. */
  withAverages<T>(work: () => Promise<T>): Promise<T> {
    const [name] = this.#options.averaged;
    const shards = name === undefined ? undefined : this.#shardsOf(stateNames.average(name));
    return shards ? shards.withAverages(work) : work();
  }

  /** Inputs of a program over these parameters, bound to their averages. */
  averagedInputs(names: readonly string[]): Record<string, string> {
    return Object.fromEntries(names.map((name) => [name, this.averageOf(name)]));
  }

  async read(name: string): Promise<Tensor> {
    const shards = this.#shardsOf(name);
    return shards ? shards.read(name) : ((await this.#options.state.read([name]))[name] as Tensor);
  }

  entry(name: string): WeightEntry {
    const shape = this.#shardsOf(name)?.shapeOf(name) ?? this.#options.state.entries.get(name)?.shape ?? [];
    return { name, dtype: 'float32', shape };
  }

  /** Everything, with counts and numbers. */
  checkpoint(state: unknown): TraineeCheckpoint {
    return {
      entries: this.#options.names.map((name) => this.entry(name)),
      provide: ({ name }) => this.read(name),
      together: this.#options.shards?.some((shards) => shards !== undefined) ?? false,
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
    for (const name of names) {
      const value = await saved.read(name);
      const shards = this.#shardsOf(name);
      if (shards) await shards.write(name, value);
      else await this.#options.state.write({ [name]: value });
    }
    return counts.data;
  }
}
