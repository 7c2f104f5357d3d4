/** Every schedule of sigmas of k-diffusion, A1111 and ComfyUI at the Stable Diffusion v1 range. */

import { join } from 'node:path';
import { stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { ancestralStep } from '../../../src/diffusion/samplers/ancestral-step.ts';
import { type SigmaScheduleName, sigmaSchedules } from '../../../src/diffusion/sigma-schedules/index.ts';
import { allSigmas } from '../../../src/diffusion/sigma-schedules/normal.ts';
import { percentToSigma } from '../../../src/diffusion/sigma-schedules/percent-to-sigma.ts';
import type { SigmaScheduleOptions } from '../../../src/diffusion/sigma-schedules/sigma-schedule.ts';
import { zeroTerminalSnr } from '../../../src/diffusion/sigma-schedules/zero-terminal-snr.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';
import { excess } from './compvis-schedules.ts';

const model = stableDiffusionSchedule();

type Compare = (file: ScheduleFile, settings: Recorded, compare: Comparisons, recorded: RecordedCase) => void;
const programs: readonly (readonly [RegExp, Compare])[] = [
  [/k-diffusion.*get_sigmas/, compareKDiffusion],
  [/sd_schedulers\.py/, compareA1111],
  [/calculate_sigmas/, compareComfy],
];
const programOf = (row: RecordedCase['row']) => programs.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'schedules' && programOf(row) !== undefined,
  compare: collecting((recorded, compare) => {
    const file = scheduleFile(recorded, compare);
    programOf(recorded.row)?.(file, settingsOf(recorded), compare, recorded);
    compare.exact('recorded lists that were not compared', file.left(), []);
  }),
};

interface ScheduleFile {
  readonly values: (name: string) => Float32Array;
  /** Compares in units of absolute plus relative tolerance, which are the row's where they are not stated. */
  readonly compare: (name: string, got: ArrayLike<number>, absolute?: number, relative?: number) => void;
  readonly seen: (...names: string[]) => void;
  readonly left: () => string[];
}

function scheduleFile({ setFolder, row }: RecordedCase, compare: Comparisons): ScheduleFile {
  const tensors = readTensors(join(setFolder, String(row['file'])));
  const { abs, rel }: Recorded = row['tolerance'];
  const seen = new Set<string>();
  return {
    values: (name) => pick(tensors, name).data as Float32Array,
    compare(name, got, absolute = abs, relative = rel) {
      seen.add(name);
      const want = pick(tensors, name).data as Float32Array;
      // Either tolerance is enough: the larger of the two counts.
      const errors = Array.from(want, (value, i) => {
        const allowed = Math.max(absolute, relative * Math.abs(value));
        const difference = Math.abs((got[i] as number) - value);
        return difference === 0 ? 0 : difference / allowed;
      });
      const error = got.length === want.length ? Math.max(0, ...errors) : Number.POSITIVE_INFINITY;
      compare.error(`${name} (of the tolerance)`, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error, 1);
    },
    seen: (...names) => {
      for (const name of names) seen.add(name);
    },
    left: () => [...tensors.keys()].filter((name) => !seen.has(name)),
  };
}

/** Other constants of the VP schedule, which the recording states in its text only. */
const vpOther: SigmaScheduleOptions = { betaD: 15, betaMin: 0.2, epsS: 0.002 };

function compareKDiffusion(
  { compare, values, seen }: ScheduleFile,
  { n, sd_range, other_range, ancestral }: Recorded,
  comparisons: Comparisons,
  { row }: RecordedCase,
): void {
  const tolerance: Recorded = row['tolerance'];
  const ranges: Record<string, SigmaScheduleOptions> = {
    sd: { sigmaMin: sd_range[0], sigmaMax: sd_range[1] },
    other: { sigmaMin: other_range[0], sigmaMax: other_range[1] },
  };
  compare('sigmas', model.sigmas);
  compare('log_sigmas', model.logSigmas);
  compare('get_sigmas.None', allSigmas(model));
  for (const count of n) {
    compare(`get_sigmas.${count}`, sigmaSchedules.normal(count, model));
    for (const [range, options] of Object.entries(ranges)) {
      compare(`exponential.${range}.${count}`, sigmaSchedules.exponential(count, model, options));
      for (const rho of [5, 7])
        compare(`karras.${range}.rho${rho}.${count}`, sigmaSchedules.karras(count, model, { ...options, rho }));
      for (const rho of [1, 2]) {
        const got = sigmaSchedules.polyexponential(count, model, { ...options, rho });
        compare(`polyexponential.${range}.rho${rho}.${count}`, got);
      }
    }
    compare(`vp.${count}`, sigmaSchedules.vp(count, model));
    compare(`vp.other.${count}`, sigmaSchedules.vp(count, model, vpOther));
  }
  seen('sigma', 't');
  const [times, sigmas] = [values('t'), values('sigma')];
  const timesteps = (quantize: boolean): Float32Array => sigmas.map((sigma) => model.timestepOfSigma(sigma, quantize));
  compare(
    't_to_sigma',
    times.map((t) => model.sigmaOfTimestep(t)),
    1e-12,
    tolerance.t_to_sigma_rel,
  );
  compare('sigma_to_t', timesteps(false), tolerance.sigma_to_t_abs, 0);
  compare('sigma_to_t_quantized', timesteps(true), 0, 0);
  for (const [from, to, eta, [down, up]] of ancestral) {
    const step = ancestralStep(from, to, eta, (value) => value);
    comparisons.error(`ancestral ${from} ${to} ${eta}`, excess([step.down, step.up], [down, up], 1, 0), 1e-12);
  }
}

/** Our schedules by A1111's names. */
const a1111Names: Record<string, SigmaScheduleName> = {
  uniform: 'normal',
  normal: 'normal',
  karras: 'karras',
  exponential: 'exponential',
  polyexponential: 'polyexponential',
  sgm_uniform: 'sgm_uniform',
  normal_sgm: 'sgm_uniform',
  kl_optimal: 'kl_optimal_to_min',
  align_your_steps: 'align_your_steps',
  align_your_steps_sdxl: 'align_your_steps_xl',
  simple: 'simple',
  ddim: 'ddim_uniform',
  beta: 'beta_continuous',
};

function compareA1111({ compare }: ScheduleFile, { n, sigma_min, sigma_max }: Recorded): void {
  const range = { sigmaMin: sigma_min, sigmaMax: sigma_max };
  for (const [name, ours] of Object.entries(a1111Names))
    for (const count of n) compare(`${name}.${count}`, sigmaSchedules[ours](count, model, range));
}

function compareComfy(
  { compare, values, seen }: ScheduleFile,
  { n, names }: Recorded,
  comparisons: Comparisons,
  { setFolder }: RecordedCase,
): void {
  for (const name of names as readonly SigmaScheduleName[])
    for (const count of n) {
      const got = sigmaSchedules[name](count, model);
      if (!values(`${name}.${count}`).some(Number.isNaN)) {
        compare(`${name}.${count}`, got);
        continue;
      }
      // ComfyUI divides 0 by 0 here; a run would be of NaN only. We start at the highest level, as its other schedules of one step do.
      seen(`${name}.${count}`);
      const note = 'differs on purpose: ComfyUI gives [NaN, 0], we give [sigma_max, 0]';
      const error = excess(got, [model.sigmas.at(-1) as number, 0], 1, 0);
      comparisons.error(`${name}.${count}`, error, 1e-4, { note });
    }
  compare('sigmas', model.sigmas);
  compare('zsnr.sigmas', zeroTerminalSnr(model).sigmas);
  compare('turbo.1.denoise1', sigmaSchedules.turbo(1, model));
  compare('turbo.4.denoise1', sigmaSchedules.turbo(4, model));
  compare('turbo.4.denoise0.6', sigmaSchedules.turbo(4, model, { denoise: 0.6 }));
  const percents = [0, 0.1, 0.37, 0.5, 0.9, 1];
  compare(
    'percent_to_sigma',
    percents.map((percent) => percentToSigma(model, percent)),
  );
  // The arrays of sigmas and timesteps are those of the k-diffusion case (the row's text).
  const asked = readTensors(join(setFolder, 'schedules/kdiffusion.safetensors'));
  const list = (name: string): number[] => Array.from(pick(asked, name).data, Number);
  compare(
    'timestep',
    list('sigma').map((sigma) => model.timestepOfSigma(sigma, true)),
    0,
    0,
  );
  compare(
    'sigma_of_t',
    list('t').map((t) => model.sigmaOfTimestep(t)),
  );
}
