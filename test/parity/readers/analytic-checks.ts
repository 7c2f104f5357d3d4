/** What the recorded sampler runs stand on: the analytic model, and the increments of the Brownian tree. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { brownianTreeNoise } from '../../../src/random/brownian-tree.ts';
import { float32 } from '../../../src/tensor/tensor.ts';
import { pick, readTensors } from '../../tensors.ts';
import { analyticSet, entry } from '../analytic-model.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase } from '../reader.ts';

const checks: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void])[] = [
  [/^own .*Analytic/, compareModel],
  [/BrownianTreeNoiseSampler/, compareBrownianTree],
];
const checkOf = (row: RecordedCase['row']) => checks.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'samplers' && checkOf(row) !== undefined,
  compare: collecting((recorded, compare) => checkOf(recorded.row)?.(recorded, compare)),
};

const toleranceOf = ({ row }: RecordedCase): number => (row['tolerance'] as Recorded).abs;

function compareModel(recorded: RecordedCase, compare: Comparisons): void {
  const model = analyticSet(recorded.setFolder);
  const tensors = readTensors(join(recorded.setFolder, 'samplers/model_check.safetensors'));
  const x = pick(tensors, 'x');
  // The timesteps are stated in the row's text only.
  const times = /t = ([\d., ]+)/.exec(String(recorded.row['exercises']))?.[1]?.split(',').map(Number) ?? [];
  for (const [k, t] of times.entries())
    for (const kind of ['eps', 'v', 'x0'] as const)
      for (const [which, conditions] of [
        ['cond', [1, 2]],
        ['uncond', [0, 0]],
      ] as const) {
        const got = model.output(stableDiffusionSchedule(), kind, entry(x, k), t, conditions);
        const name = `${k}.${kind}.${which}`;
        compare.tensor(name, got, pick(tensors, name), toleranceOf(recorded));
      }
}

interface Brownian {
  readonly t0: number;
  readonly t1: number;
  readonly shape: number[];
  readonly queries: readonly [number, number][];
  readonly rows: readonly { readonly seed: number; readonly noise: number[][][][] }[];
}

function compareBrownianTree(recorded: RecordedCase, compare: Comparisons): void {
  const path = join(recorded.setFolder, String(recorded.row['file']));
  const { t0, t1, shape, queries, rows }: Brownian = JSON.parse(readFileSync(path, 'utf8'));
  for (const { seed, noise } of rows) {
    const list = brownianTreeNoise({ shape, sigmaMin: t0, sigmaMax: t1, seed: [seed] });
    for (const [i, [from, to]] of queries.entries()) {
      const want = float32(shape, (noise[i] ?? []).flat(2));
      compare.tensor(`seed ${seed} ${from} to ${to}`, list(from, to), want, toleranceOf(recorded));
    }
  }
}
