/** What the networks of a run are made from and what the run needs to know of them: one function a kind of training makes one from the other. */

import type { Engine } from '../engine/engine.ts';
import type { ImageCodec } from '../image/codec/codec.ts';
import type { BatchOptions } from './data/batches.ts';
import type { Autoencoder } from '../model/autoencoder.ts';
import type { TrainingEvent } from './loop-node.ts';
import type { RunOptions } from './run/run-folder-node.ts';
import type { Trainee } from './trainee.ts';
import type { TrainingConfig } from './training-config.ts';

export interface TraineeContext {
  /** The configuration, parsed. */
  readonly document: unknown;
  /** Its name in messages. */
  readonly label: string;
  readonly config: TrainingConfig;
  readonly engine: Engine;
  readonly codec: ImageCodec;
}

export interface SetUp<Batch> {
  readonly trainee: Trainee<Batch>;
  /** Pixels of each side of the pictures, where the data do not say. */
  readonly size: number;
  readonly missingCaption?: BatchOptions['missingCaption'];
  /** How what is trained is written. By default `model.safetensors` with the configuration's model. */
  readonly output?: NonNullable<RunOptions['model']>;
  /** Further files to lie beside the model, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Pictures that each batch has as many of beside its own (DreamBooth's class), and what makes them where they are not there. */
  readonly prior?: { readonly data_root: string; readonly make: () => AsyncGenerator<TrainingEvent, void, void> };
  /** Where latents can be kept instead of pictures: what makes them, and a text that changes with it. */
  readonly latents?: { readonly firstStage: Autoencoder; readonly fingerprint: () => Promise<string> };
  /** Parameters that no file had, which begin anew. */
  readonly fresh: readonly string[];
  /** Disposes of the trainee and closes the files. */
  close(): Promise<void>;
}
