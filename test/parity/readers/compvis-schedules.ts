/** Noise schedules and DDIM timesteps of CompVis: make_beta_schedule, register_schedule, make_ddim_timesteps. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { betaSchedule } from '../../../src/diffusion/beta-schedule.ts';
import { alphasCumprodOf, ddpmBuffers, stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { ddimSigma, ddimSteps, ddimTimesteps } from '../../../src/diffusion/timesteps.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, type Comparisons, listDifference } from '../comparisons.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';

const parts: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void])[] = [
  [/make_beta_schedule/, compareBetas],
  [/register_schedule/, compareBuffers],
  [/make_ddim_timesteps/, compareDdim],
];
const partOf = (row: RecordedCase['row']) => parts.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'schedules' && partOf(row) !== undefined,
  compare: collecting((recorded, compare) => partOf(recorded.row)?.(recorded, compare)),
};

const toleranceOf = ({ row }: RecordedCase): Recorded => row['tolerance'];

/** Largest difference in units of the tolerance: |got - want| / (absolute + relative |want|). */
export function excess(
  got: ArrayLike<number>,
  want: ArrayLike<number | bigint>,
  absolute: number,
  relative: number,
): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  const errors = Array.from(got, (value, i) => {
    const wanted = Number(want[i]);
    return Object.is(value, wanted) ? 0 : Math.abs(value - wanted) / (absolute + relative * Math.abs(wanted));
  });
  const largest = Math.max(0, ...errors);
  return Number.isNaN(largest) ? Number.POSITIVE_INFINITY : largest;
}

function compareBetas(recorded: RecordedCase, compare: Comparisons): void {
  const stored = readTensors(join(recorded.setFolder, String(recorded.row['file'])));
  const { abs, rel } = toleranceOf(recorded);
  for (const { index, schedule, n_timestep, linear_start, linear_end, cosine_s } of settingsOf(recorded)) {
    const options = { linearStart: linear_start, linearEnd: linear_end, cosineS: cosine_s };
    const betas = betaSchedule(schedule, n_timestep, options);
    for (const [name, got] of Object.entries({ betas, alphas_cumprod: alphasCumprodOf(betas) })) {
      const error = excess(got, pick(stored, `${index}.${name}`).data, abs, rel);
      compare.error(`${index} ${schedule} ${name} (of the tolerance)`, error, 1);
    }
  }
}

function compareBuffers(recorded: RecordedCase, compare: Comparisons): void {
  const stored = readTensors(join(recorded.setFolder, String(recorded.row['file'])));
  const { rel, lvlb_weights_rel } = toleranceOf(recorded);
  for (const { index, beta_schedule, timesteps, linear_start, linear_end, v_posterior } of settingsOf(recorded)) {
    const betas = betaSchedule(beta_schedule, timesteps, { linearStart: linear_start, linearEnd: linear_end });
    for (const [name, got] of Object.entries(ddpmBuffers(betas, { vPosterior: v_posterior }))) {
      const relative = name === 'lvlb_weights' ? lvlb_weights_rel : rel;
      const error = excess(got, pick(stored, `${index}.${name}`).data, 1e-30, relative);
      compare.error(`${index} ${name} (of the tolerance)`, error, 1);
    }
  }
}

interface DdimRow {
  readonly method: 'uniform' | 'quad';
  readonly S: number;
  readonly timesteps: readonly number[];
  readonly error?: string;
}

function compareDdim(recorded: RecordedCase, compare: Comparisons): void {
  const [json = '', tensors = ''] = recorded.row['files'] as readonly string[];
  const { rows }: { rows: readonly DdimRow[] } = JSON.parse(readFileSync(join(recorded.setFolder, json), 'utf8'));
  const stored = readTensors(join(recorded.setFolder, tensors));
  const { abs } = toleranceOf(recorded);
  const sd = stableDiffusionSchedule();
  for (const { method, S, timesteps, error } of rows) {
    const got = ddimTimesteps(method, S, sd.trainTimesteps);
    // Where the original raises, the timestep beyond its table is left out.
    const want = timesteps.filter((t) => t < sd.trainTimesteps);
    const note = error && `the original raises: ${error}`;
    compare.error(`${method} ${S} timesteps`, listDifference(got, want), 0, { note });
    if (error) continue;
    const steps = ddimSteps(sd, got).reverse();
    const lists: Record<string, number[]> = { alphas_prev: steps.map((step) => step.alphaBarPrev) };
    for (const eta of settingsOf(recorded).etas) lists[`eta${eta}.sigmas`] = steps.map((step) => ddimSigma(step, eta));
    for (const [name, values] of Object.entries(lists)) {
      const wanted = Array.from(pick(stored, `${method}.${S}.${name}`).data, Number);
      compare.error(`${method} ${S} ${name}`, listDifference(values, wanted), abs);
    }
  }
}
