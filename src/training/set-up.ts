/** The set-up of a run: one function per kind of training builds the networks and their facts from the configuration. */

import type { Engine } from '../engine/engine.ts';
import type { ImageCodec } from '../image/codec/codec.ts';
import type { BatchOptions } from './data/batches.ts';
import type { Autoencoder } from '../model/autoencoder.ts';
import type { TrainingEvent } from './loop-options.ts';
import type { RunOptions } from './run/run-folder-node.ts';
import type { LearningRateSchedule } from './step/learning-rate.ts';
import type { StepRanks } from './step/gradient-exchange.ts';
import type { Trainee } from './trainee.ts';
import type { DataSplit, TrainingConfig } from './training-config.ts';

export interface TraineeContext {
  /** The configuration, parsed. */
  readonly document: unknown;
  /** Its name in messages. */
  readonly label: string;
  readonly config: TrainingConfig;
  readonly engine: Engine;
  readonly codec: ImageCodec;
  /** The processes that train together. */
  readonly ranks: StepRanks;
}

export interface SetUp<Batch> {
  readonly trainee: Trainee<Batch>;
  /** Default side of the pictures in pixels. */
  readonly size: number;
  readonly missingCaption?: BatchOptions['missingCaption'];
  /** Where classes of a folder's pictures come from, unless the data's section says. */
  readonly labels?: DataSplit['labels'];
  /** Pictures come with maps that a control network sees. */
  readonly maps?: BatchOptions['maps'];
  /** How the result is written. Default: `model.safetensors` with the configuration's model. */
  readonly output?: NonNullable<RunOptions['model']>;
  /** Further files to write next to the model, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Pictures added to each batch in equal number (DreamBooth's class), and how missing ones are generated. */
  readonly prior?: { readonly data_root: string; readonly make: () => AsyncGenerator<TrainingEvent, void, void> };
  /** Computes latents for caching, with a fingerprint of what they depend on. Undefined if latents cannot be cached. */
  readonly latents?: { readonly firstStage: Autoencoder; readonly fingerprint: () => Promise<string> };
  /** Factors on the learning rate by step, in place of the configuration's. */
  readonly schedule?: LearningRateSchedule;
  /** Parameters that no file has, which are initialised. */
  readonly fresh: readonly string[];
  /** Disposes of the trainee and closes the files. */
  close(): Promise<void>;
}
