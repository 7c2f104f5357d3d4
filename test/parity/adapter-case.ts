/** Recorded trainings of adapters: the UNet they train on, and the frame of their readers. */

import { type UNetConfig, unetConfigSchema } from '../../src/config/network-config.ts';
import { unetPrefix } from '../../src/training/adapt/adapter-loss.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { collecting, type Comparisons } from './comparisons.ts';
import { ldmSchedule } from './loss-unet.ts';
import type { IndexRow, Reader, Recorded, RecordedCase } from './reader.ts';
import { casesOf } from './recorded-cases.ts';
import { type TrainingCase, trainingCase } from './training-case.ts';

/** A reader of the cases that exercise this. */
export function adapterReader(
  exercises: RegExp,
  compareCase: (one: TrainingCase, compare: Comparisons, recorded: RecordedCase) => Promise<void>,
): Reader {
  return {
    set: 'training',
    reads: (row: IndexRow, part) =>
      part === 'adapt' && row['skipped'] === undefined && exercises.test(String(row.exercises)),
    compare: collecting((recorded, compare) => compareCase(trainingCase(recorded), compare, recorded)),
  };
}

export const diffusion = { schedule: ldmSchedule() };

/** Name of a parameter of the UNet in the trained graph. */
export const inUNet = (name: string): string => `${unetPrefix}.${name}`;

/** The settings of the case whose network the weights file is. */
export function settingsOfWeights({ root, set }: RecordedCase, name: string): Recorded {
  const owner = casesOf(root, set).find(({ row }) => row['case'] === name);
  if (!owner) throw new Error(`no case describes the network of ${name}.weights.safetensors`);
  return owner.row['settings'];
}

/** The UNet that the row's first weights file holds. */
export function unetOf(
  recorded: RecordedCase,
  one: TrainingCase,
): { readonly unet: UNetConfig; readonly unetWeights: WeightSource } {
  const name = one.weightsNames[0] ?? '';
  const unet = unetConfigSchema.parse({ kind: 'unet', ...settingsOfWeights(recorded, name) });
  return { unet, unetWeights: memoryWeights(one.weights(name), name) };
}
