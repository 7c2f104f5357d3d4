/** What a training loop is given, and the events that it reports. */

import type { Communicator } from '../distributed/communicator.ts';
import type { TrainingBatch } from './data/batches.ts';
import type { Problems } from './data/problems.ts';
import type { OrderState } from './data/sample-order.ts';
import type { ProgressState } from './run/progress.ts';
import type { Run } from './run/run-folder-node.ts';
import type { Trainee } from './trainee.ts';
import type { LoopSettings } from './training-config.ts';

export interface LoopOptions<Batch> {
  readonly trainee: Trainee<Batch>;
  /** Opened with `resume` if it may continue; `trainee` need not be restored yet. */
  readonly run: Run;
  readonly settings: LoopSettings;
  /** Seed of noise and draws. */
  readonly seed: number;
  /** Batches from a state on, or from the beginning. */
  readonly batches: (state: OrderState | undefined) => AsyncIterable<TrainingBatch>;
  /** Batches that are not trained on, always the same, for the score that chooses the best checkpoints. Without them it is the mean loss since the last. */
  readonly validation?: () => AsyncIterable<TrainingBatch>;
  /** Network configuration and other notes that are kept in checkpoints. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly problems: Problems;
  /** Milliseconds. */
  readonly now: () => number;
  /** Writes report.html with each checkpoint and each grid, and every 20 seconds. */
  readonly report?: boolean;
  /** The processes that train together; each has its part of every batch, and the run of rank 0 alone writes. Default: this one alone. */
  readonly communicator?: Communicator;
  /** Fires to save and stop after the step at work; on any rank, for all. */
  readonly signal?: AbortSignal;
  /** Asked after each step: whether to save a checkpoint now and go on. */
  readonly takeSaveRequest?: () => boolean;
  /** Batches for a test at the end of a finished run. */
  readonly test?: () => AsyncIterable<TrainingBatch>;
}

export type TrainingEvent =
  | { readonly kind: 'step'; readonly step: number; readonly loss: number; readonly progress: ProgressState }
  | { readonly kind: 'samples' | 'checkpoint' | 'model' | 'report'; readonly step: number; readonly path: string }
  | { readonly kind: 'validation'; readonly step: number; readonly values: Readonly<Record<string, number>> }
  /** Before the first step: samples whose latents are kept. */
  | { readonly kind: 'latents'; readonly done: number; readonly total: number | undefined }
  /** Before the first step: where the run begins. `beganAgain`: it was resumed, but ended before its first checkpoint, so nothing is left of it. */
  | { readonly kind: 'begin'; readonly step: number; readonly beganAgain: boolean }
  /** Before that: DreamBooth's pictures of the class. */
  | { readonly kind: 'class-pictures'; readonly done: number; readonly total: number }
  /** The last event: all steps done, or stopped by the signal. */
  | { readonly kind: 'end'; readonly step: number; readonly status: 'finished' | 'stopped' };
