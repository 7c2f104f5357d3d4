/** The names that A1111 v1.10.1 gives a sampler and a schedule of noise in settings and infotexts, whichever of them a client used. */

import { a1111Samplers } from './sampler-names.ts';

/** The schedules of noise (modules/sd_schedulers.py). */
export const schedulerRows: readonly (readonly [
  name: string,
  label: string,
  defaultRho?: number,
  needsModel?: boolean,
  aliases?: readonly string[],
])[] = [
  ['automatic', 'Automatic'],
  ['uniform', 'Uniform', -1, true],
  ['karras', 'Karras', 7],
  ['exponential', 'Exponential'],
  ['polyexponential', 'Polyexponential', 1],
  ['sgm_uniform', 'SGM Uniform', -1, true, ['SGMUniform']],
  ['kl_optimal', 'KL Optimal'],
  ['align_your_steps', 'Align Your Steps'],
  ['simple', 'Simple', -1, true],
  ['normal', 'Normal', -1, true],
  ['ddim', 'DDIM', -1, true],
  ['beta', 'Beta', -1, true],
];

const isSame = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
const namesOf = ([name, label, , , aliases = []]: (typeof schedulerRows)[number]): readonly string[] => [
  label,
  name,
  ...aliases,
];

/** "Karras" for "karras"; unknown names are unchanged. */
export function schedulerLabel(name: string): string {
  return schedulerRows.find((row) => namesOf(row).some((known) => isSame(known, name)))?.[1] ?? name;
}

/** Whether A1111 has a schedule of this label. */
export const isSchedulerLabel = (label: string): boolean => schedulerRows.some((row) => row[1] === label);

export interface SamplerLabels {
  readonly sampler: string;
  /** "Automatic" where none is named. */
  readonly scheduler: string;
  /** The meaning of "Automatic" for the sampler; undefined for the spacing of the model's own steps. */
  readonly resolved: string | undefined;
}

/** `get_sampler_and_scheduler` of modules/sd_samplers.py: a sampler's name may end in a schedule, which applies if no schedule is given. */
export function samplerLabels(name: string, scheduler: string | undefined): SamplerLabels {
  const rowOf = (text: string): (typeof a1111Samplers)[number] | undefined =>
    a1111Samplers.find(({ names }) => names.some((known) => isSame(known, text)));
  let row = rowOf(name);
  let named = scheduler;
  for (const schedule of row ? [] : schedulerRows) {
    const end = namesOf(schedule).find((text) => name.toLowerCase().endsWith(` ${text.toLowerCase()}`));
    const found = end === undefined ? undefined : rowOf(name.slice(0, -end.length - 1));
    if (found) [row, named] = [found, named ?? schedule[1]];
  }
  const own = row && schedulerRows.find(([key]) => key === row.schedule && key !== 'normal')?.[1];
  const label = named === undefined ? 'Automatic' : schedulerLabel(named);
  const resolved = label === 'Automatic' ? own : label;
  return { sampler: row?.names[0] ?? name, scheduler: resolved ?? 'Automatic', resolved };
}

/** A1111's label of a sampler by its name in the table of samplers; undefined if A1111 has no such sampler. */
export function a1111SamplerLabel(name: string): string | undefined {
  return a1111Samplers.find(({ sampler }) => sampler === name)?.names[0];
}

/** Sigma schedules by the names of the table that A1111 calls otherwise. */
const ownSchedules: Readonly<Record<string, string>> = {
  normal: 'uniform',
  ddim_uniform: 'ddim',
  kl_optimal_to_min: 'kl_optimal',
  beta_continuous: 'beta',
};

/** A1111's label of a sigma schedule by its name in the table of schedules. */
export function schedulerLabelOf(schedule: string | undefined): string | undefined {
  return schedule === undefined ? undefined : schedulerLabel(ownSchedules[schedule] ?? schedule);
}
