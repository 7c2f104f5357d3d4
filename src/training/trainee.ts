/** Trainee: what the training loop trains. The loop knows data, steps, files and time; a trainee knows a network, its loss and its checkpoint. */

import type { Image } from '../image/image.ts';
import type { TensorProvider } from '../formats/safetensors-write.ts';
import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';
import type { TrainingItem } from './data/sample.ts';

export interface TraineeUpdate {
  /** By name: `loss`, and others that are worth a curve. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
}

export interface TraineeSamples {
  /** Of one size. */
  readonly images: readonly Image[];
  readonly captions: readonly string[];
  /** Images in a row of the grid. */
  readonly columns?: number;
}

/** What is written of a trainee: tensors under the names of the CompVis checkpoint, the optimiser's beside them. */
export interface TraineeCheckpoint {
  readonly entries: Iterable<WeightEntry>;
  readonly provide: TensorProvider;
  /** Counts and numbers, as JSON. */
  readonly state: unknown;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Default `training`; for `validation` no condition is dropped. */
export type BatchPurpose = 'training' | 'validation';

/** `Batch`: what becomes of the items of a batch before the step. */
export interface Trainee<Batch> extends AsyncDisposable {
  /** Called once before everything else, with the items of the first batch, where a run begins and does not go on. */
  begin?(items: readonly TrainingItem[], seed: number): Promise<void>;
  /** A batch ready for the step: encoded by frozen networks, noise drawn. It depends on the items and the seed, on nothing else, and is made ahead of the step. */
  prepare(items: readonly TrainingItem[], seed: number, purpose?: BatchPurpose): Promise<Batch>;
  /** One update from the batches' mean gradient. Throws `not-finite` before any weight is changed. */
  update(
    batches: readonly Batch[],
    options: { readonly learningRate: number; readonly step: number },
  ): Promise<TraineeUpdate>;
  /** Metrics of a batch that is not trained on, with averaged weights where there are any. `loss` is among them. */
  validate?(batch: Batch): Promise<Readonly<Record<string, number>>>;
  /** Pictures that show how it stands; the batch is the latest. */
  samples?(batch: Batch): Promise<TraineeSamples>;
  /** Everything a run needs to go on. */
  checkpoint(): TraineeCheckpoint;
  /** Goes on from a checkpoint. Throws `shape-mismatch` or `weights-mismatch` for one of another network. */
  restore(weights: WeightSource, state: unknown): Promise<void>;
  /** The model alone, averaged weights in place of the last ones where there are any: what is given away. */
  model(): Omit<TraineeCheckpoint, 'state'>;
}
