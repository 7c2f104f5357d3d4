/** Tables of sgm's discretisations and scalings. */

import { join } from 'node:path';
import { noiseScheduleOf, tableLevel } from '../../../src/diffusion/noise-schedule.ts';
import { type ScalingName, scalings } from '../../../src/diffusion/scalings.ts';
import { sigmaSchedule } from '../../../src/diffusion/sigma-schedules/index.ts';
import { karrasSigmas } from '../../../src/diffusion/sigma-schedules/karras.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, listDifference } from '../comparisons.ts';
import type { Reader } from '../reader.ts';

const stableDiffusion = { linearStart: 0.00085, linearEnd: 0.012 };
/** Defaults of sgm's `EDMDiscretization`. */
const edm = { min: 0.002, max: 80, rho: 7 };

function sgmTable(output: string, sigmas: readonly number[]): ArrayLike<number> | undefined {
  const schedule = noiseScheduleOf(stableDiffusion);
  const [, kind, steps] = /^(legacy|edm)\.(\d+)$/.exec(output) ?? [];
  if (kind === 'legacy') return sigmaSchedule('legacy_ddpm')(Number(steps), schedule);
  if (kind === 'edm') return karrasSigmas(Number(steps), edm.min, edm.max, edm.rho);
  if (output === 'quantised') return sigmas.map((sigma) => tableLevel(schedule, sigma).sigma);
  if (output === 'index') return sigmas.map((sigma) => tableLevel(schedule, sigma).timestep);
  const [, name, factor] = /^(\w+)\.c_(skip|out|in|noise)$/.exec(output) ?? [];
  if (name === undefined || !Object.hasOwn(scalings, name)) return undefined;
  const scaling = scalings[name as ScalingName];
  return sigmas.map((sigma) => scaling(sigma)[factor as 'skip' | 'out' | 'in' | 'noise']);
}

export const reader: Reader = {
  set: 'families',
  reads: ({ settings, model }, part) =>
    part === 'runs' &&
    model === undefined &&
    Array.isArray((settings as Record<string, unknown> | undefined)?.['sigmas']),
  compare: collecting(({ row, setFolder: folder }, compare) => {
    const { sigmas } = row['settings'] as { readonly sigmas: number[] };
    const outputs = row['outputs'] as Record<string, { readonly atol?: number }>;
    const want = readTensors(join(folder, String(row['dir']), 'outputs.safetensors'));
    for (const [output, { atol = 0 }] of Object.entries(outputs)) {
      const made = sgmTable(output, sigmas);
      if (made) compare.error(output, listDifference(made, Array.from(pick(want, output).data, Number)), atol);
      else compare.skip(output, 'guidance of video models, which this program does not make');
    }
  }),
};
