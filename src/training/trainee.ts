/** Trainee: the object of the training loop. The loop handles data, steps, files and time; a trainee has a network, its loss and its checkpoint. */

import type { Image } from '../image/image.ts';
import type { ImageLogSettings, LoggedImages } from './image-log.ts';
import type { TensorProvider } from '../formats/safetensors-write.ts';
import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';
import type { ItemPlaces, TrainingItem } from './data/sample.ts';

export interface TraineeUpdate {
  /** By name: `loss`, and others that are worth a curve. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
}

export interface TraineeSamples {
  /** Items of equal size. */
  readonly images: readonly Image[];
  readonly captions: readonly string[];
  /** Images in a row of the grid. */
  readonly columns?: number;
}

/** The saved state of a trainee: tensors with the names of the CompVis checkpoint, and the optimiser's. */
export interface TraineeCheckpoint {
  readonly entries: Iterable<WeightEntry>;
  readonly provide: TensorProvider;
  /** All ranks read the tensors, in the order of a file, because each has a part of some. Default false. */
  readonly together?: boolean;
  /** Counts and numbers, as JSON. */
  readonly state: unknown;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Default `training`; for `validation` no condition is dropped. */
export type BatchPurpose = 'training' | 'validation';

/** `Batch`: what becomes of the items of a batch before the step. */
export interface Trainee<Batch> extends AsyncDisposable {
  /** Called once at the start of a new run, with the items of the first batch. Not called for a resumed run. */
  begin?(items: readonly TrainingItem[], seed: number, places?: ItemPlaces): Promise<void>;
  /**
   * A batch ready for the step: encoded by frozen networks, noise drawn. It depends only on the items, the seed and, where ranks share
   * the batch, the items' places in it, and is computed ahead of the step.
   */
  prepare(items: readonly TrainingItem[], seed: number, purpose?: BatchPurpose, places?: ItemPlaces): Promise<Batch>;
  /** One update from the batches' mean gradient. Throws `not-finite` before any weight is changed. */
  update(
    batches: readonly Batch[],
    options: { readonly learningRate: number; readonly step: number },
  ): Promise<TraineeUpdate>;
  /** Metrics of a validation batch, including `loss`, with averaged weights if available. */
  validate?(batch: Batch): Promise<Readonly<Record<string, number>>>;
  /** Pictures that show how it stands; the batch is the latest. */
  samples?(batch: Batch): Promise<TraineeSamples>;
  /** Pictures of a batch as latent-diffusion's `log_images` makes them, kind after kind. */
  imageLog?(batch: Batch, settings: ImageLogSettings): AsyncIterable<LoggedImages>;
  /** Everything a run needs to resume. */
  checkpoint(): TraineeCheckpoint;
  /** Restores a checkpoint. Throws `shape-mismatch` or `weights-mismatch` for another network's. */
  restore(weights: WeightSource, state: unknown): Promise<void>;
  /** Before validation and checkpoints, on all ranks: makes their states the same where they train alone (DiLoCo). */
  settle?(): Promise<void>;
  /** Does `work`, on all ranks, within which averages can be used by `validate`, `samples` and `model`; at other times where it is missing. */
  withAverages?<T>(work: () => Promise<T>): Promise<T>;
  /** The result: the model alone, with averaged weights if available. */
  model(): Omit<TraineeCheckpoint, 'state'>;
  /** Further results by file name, such as the model with other averages. */
  furtherModels?(): Readonly<Record<string, Omit<TraineeCheckpoint, 'state'>>>;
}
