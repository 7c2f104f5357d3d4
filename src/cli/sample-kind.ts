/** A source of bulk samples: what a kind of model gives to `sd sample`. */

import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Engine } from '../engine/engine.ts';
import type { BulkMaker } from '../pipelines/bulk/maker.ts';
import type { OptionValues } from './options.ts';
import type { sampleOptions } from './sample-options.ts';

export type SampleValues = OptionValues<typeof sampleOptions>;

export interface SampleSource {
  readonly maker: BulkMaker;
  /** Pictures where the caller names no number. */
  readonly count: number | undefined;
  /** What the pictures depend on, besides the values of the options. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly close: () => Promise<void>;
}

export interface SampleContext {
  readonly engine: Engine;
  readonly onStep: (step: number, steps: number) => void;
}

export async function fileFacts(path: string): Promise<unknown> {
  return { name: basename(path), bytes: (await stat(path)).size };
}
