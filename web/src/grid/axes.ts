/** The axes of an X/Y grid, and the syntax of their values: comma-separated lists, and ranges as in A1111 (1-5, 10-30 (+5), 5-9 [5]). */

import { laterSeed } from '../../../src/random/plain-seed.ts';
import { limits, type Settings, type Task, isAnySeed } from '../settings/settings.ts';

const axisNames = [
  'none',
  'seed',
  'steps',
  'guidanceScale',
  'sampler',
  'schedule',
  'strength',
  'words',
  'model',
] as const;
export type AxisName = (typeof axisNames)[number];

/** One value of an axis. */
export interface AxisValue {
  readonly label: string;
  readonly change: Partial<Settings>;
  readonly model?: string;
}

/** The allowed values of an axis. */
interface AxisContext {
  readonly settings: Settings;
  readonly samplers: readonly string[];
  readonly schedules: readonly string[];
  readonly models: readonly string[];
}

interface Axis {
  readonly label: string;
  readonly hint: string;
  /** Default values. */
  readonly start: (context: AxisContext) => string;
  /** Throws an Error for people. */
  readonly values: (text: string, context: AxisContext) => readonly AxisValue[];
}

const mostValues = 24;

function listed(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

/** Numbers of a text: `1, 4, 9`, `1-5`, `10-30 (+5)` by steps, `5-9 [5]` by count. Throws an Error for people. */
export function numbersOf(text: string): readonly number[] {
  const numbers: number[] = [];
  for (const part of listed(text)) {
    const range = /^(-?[\d.]+)\s*-\s*(-?[\d.]+)(?:\s*\(\s*([+-]?[\d.]+)\s*\)|\s*\[\s*(\d+)\s*\])?$/.exec(part);
    if (!range) {
      if (!Number.isFinite(Number(part))) throw new Error(`“${part}” is not a number. Write 1, 4, 9 or 10-30 (+5).`);
      numbers.push(Number(part));
      continue;
    }
    const [from, to, count] = [Number(range[1]), Number(range[2]), Number(range[4] ?? 0)];
    const step = count > 1 ? (to - from) / (count - 1) : Math.abs(Number(range[3] ?? 1)) * Math.sign(to - from || 1);
    if (![from, to, step].every(Number.isFinite) || step === 0)
      throw new Error(`“${part}” is not a range. Write 10-30 (+5) or 5-9 [5].`);
    // Half a step more, for what floating point leaves out.
    for (
      let i = 0;
      i < (count > 1 ? count : Math.floor((to - from) / step + 1e-6) + 1) && numbers.length <= mostValues;
      i++
    )
      numbers.push(Math.round((from + i * step) * 1e4) / 1e4);
  }
  return numbers;
}

function numeric(name: 'seed' | 'steps' | 'guidanceScale' | 'strength', least: number, most: number) {
  return (text: string): readonly AxisValue[] =>
    numbersOf(text).map((value) => {
      if (value < least || value > most) throw new Error(`${value} is outside ${least} … ${most}.`);
      return { label: String(value), change: { [name]: value } };
    });
}

function named(known: readonly string[], text: string, toValue: (name: string) => AxisValue): readonly AxisValue[] {
  return listed(text).map((part) => {
    const name = known.find((candidate) => candidate.toLowerCase() === part.toLowerCase());
    if (name === undefined)
      throw new Error(
        `Unknown value “${part}”. Choose from ${known.slice(0, 12).join(', ')}${known.length > 12 ? ' …' : ''}.`,
      );
    return toValue(name);
  });
}

export const axes: { readonly [K in AxisName]: Axis } = {
  none: { label: 'Nothing', hint: '', start: () => '', values: () => [{ label: '', change: {} }] },
  seed: {
    label: 'Seed',
    hint: '1-4 or 7, 42, 99',
    start: ({ settings: { seed } }) => (isAnySeed({ seed }) ? '1-4' : `${seed}-${laterSeed(seed, 3)}`),
    values: numeric('seed', 0, Number.MAX_SAFE_INTEGER),
  },
  steps: {
    label: 'Steps',
    hint: '5, 10, 20 or 10-30 (+10)',
    start: () => '5, 10, 20',
    values: numeric('steps', 1, limits.steps),
  },
  guidanceScale: {
    label: 'Guidance',
    hint: '1, 3, 6, 9',
    start: () => '1, 3, 6, 9',
    values: numeric('guidanceScale', 1, limits.guidanceScale),
  },
  sampler: {
    label: 'Sampler',
    hint: 'Euler, DPM++ 2M, DDIM',
    start: ({ samplers }) => samplers.slice(0, 3).join(', '),
    values: (text, { samplers }) => named(samplers, text, (sampler) => ({ label: sampler, change: { sampler } })),
  },
  schedule: {
    label: 'Spacing',
    hint: 'Karras, Uniform',
    start: ({ schedules }) => schedules.slice(0, 3).join(', '),
    values: (text, { schedules }) => named(schedules, text, (schedule) => ({ label: schedule, change: { schedule } })),
  },
  strength: {
    label: 'Strength',
    hint: '0.3, 0.5, 0.7',
    start: () => '0.3, 0.5, 0.7',
    values: numeric('strength', 0, 1),
  },
  words: {
    label: 'Words',
    hint: 'apple, pear, cat: the first is in the prompt, the others replace it',
    start: ({ settings: { prompt } }) => prompt.split(/\s+/).at(-1) ?? '',
    values: (text, { settings: { prompt } }) => {
      const [first = '', ...others] = listed(text);
      if (first === '' || !prompt.includes(first))
        throw new Error(`“${first}” is not in the prompt; the first of the words is replaced by the others.`);
      return [first, ...others].map((words) => ({ label: words, change: { prompt: prompt.replaceAll(first, words) } }));
    },
  },
  model: {
    label: 'Model',
    hint: 'names of models',
    start: ({ models }) => models.join(', '),
    values: (text, { models }) => named(models, text, (model) => ({ label: model, change: {}, model })),
  },
};

/** The axes that apply to a task. */
export function axesFor(task: Task): readonly AxisName[] {
  return axisNames.filter((name) => name !== 'strength' || task !== 'txt2img');
}

/** Throws an Error for people. */
export function axisValues(name: AxisName, text: string, context: AxisContext): readonly AxisValue[] {
  const values = axes[name].values(text, context);
  if (values.length === 0)
    throw new Error(`${axes[name].label}: give at least one value, for example ${axes[name].hint}.`);
  if (values.length > mostValues) throw new Error(`${axes[name].label}: at most ${mostValues} values.`);
  return values;
}
