/** The user's settings. Plain data: stored in the browser and in the history, and read back from pictures. */

import type { RequestOf, Task } from '../../../src/generation/request.ts';
import type { PromptSyntax } from '../../../src/generation/prompt-fields.ts';
import { isSeedText, type PlainSeed, plainSeed } from '../../../src/random/plain-seed.ts';
import { checkedControls, controlRows, type ControlUnit } from './control-units.ts';
import type { Extra } from './extra-fields.ts';
import { checkedExtra, extraRows } from './extra-settings.ts';

export type { PromptSyntax, Task };

/** Fields that are a request's own. */
type Shared = Pick<RequestOf<'img2img'>, 'promptSyntax' | 'steps' | 'guidanceScale' | 'strength'>;

export interface Settings extends Shared {
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Pixels; 0 means the model's own size. */
  readonly width: number;
  readonly height: number;
  /** A1111's label, which the library and servers know. */
  readonly sampler: string;
  /** Spacing of the steps; empty for the sampler's own. */
  readonly schedule: string;
  /** -1: another one each time. Beyond 2^53 its digits. */
  readonly seed: PlainSeed;
  readonly batchSize: number;
  /** What most pictures do without; see extra-fields.ts. */
  readonly extra: Extra;
  /** What pictures of their own hold the result to; on servers alone. */
  readonly controls: readonly ControlUnit[];
}

/** Whether each run takes another seed. */
export const isAnySeed = ({ seed }: Pick<Settings, 'seed'>): boolean => seed === -1;

export const defaultSettings: Settings = {
  prompt: '',
  negativePrompt: '',
  promptSyntax: 'a1111',
  width: 0,
  height: 0,
  steps: 20,
  sampler: 'DPM++ 2M',
  schedule: '',
  guidanceScale: 6,
  seed: -1,
  batchSize: 1,
  strength: 0.6,
  extra: {},
  controls: [],
};

export const promptSyntaxes: readonly PromptSyntax[] = ['a1111', 'plain'];
/** The prompt syntaxes of a model: A1111's needs CLIP's text encoder. */
export const syntaxesOf = (readsPromptSyntax: boolean): readonly PromptSyntax[] =>
  readsPromptSyntax ? promptSyntaxes : ['plain'];

export const limits = { steps: 150, guidanceScale: 30, batchSize: 16, side: 2048 } as const;

/** Samplers and schedules by the labels that people know from A1111. The library has more names than these. */
export const samplerLabels: readonly string[] = [
  'DPM++ 2M',
  'DPM++ SDE',
  'DPM++ 2M SDE',
  'DPM++ 3M SDE',
  'DPM++ 2S a',
  'Euler',
  'Euler a',
  'Heun',
  'DPM2',
  'DPM2 a',
  'LMS',
  'DDIM',
  'PLMS',
  'UniPC',
  'DPM fast',
  'Restart',
  'LCM',
];

/** Samplers over the timesteps of training: they take no sigmas, and space their steps themselves. */
export function hasOwnSpacing(sampler: string): boolean {
  return /^(DDIM|PLMS|UniPC)/i.test(sampler);
}

export const scheduleLabels: readonly string[] = [
  'Uniform',
  'Karras',
  'Exponential',
  'Polyexponential',
  'SGM Uniform',
  'Simple',
  'Normal',
  'DDIM',
  'Beta',
  'Align Your Steps',
  'KL Optimal',
];

const key = 'settings';

export function rememberedSettings(): Settings {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? '{}');
    return checkedSettings(typeof found === 'object' && found !== null ? found : {});
  } catch {
    return defaultSettings;
  }
}

export function rememberSettings(settings: Settings): void {
  try {
    localStorage.setItem(key, JSON.stringify(settings));
  } catch {
    // Storage is full or not allowed: the settings hold for this visit.
  }
}

const within = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));

/** A seed of any origin, to its last digit. */
function seedFrom(given: unknown): PlainSeed | undefined {
  const text = typeof given === 'number' ? String(Math.round(given)) : String(given).trim();
  return isSeedText(text) ? plainSeed(text) : undefined;
}

/** Settings from any source, with missing and invalid values replaced. */
export function checkedSettings(
  given: Partial<Record<keyof Settings, unknown>>,
  base: Settings = defaultSettings,
): Settings {
  const number = (
    name: Exclude<keyof Settings, 'extra' | 'controls'>,
    least: number,
    most: number,
    whole: boolean,
  ): number => {
    const value = Number(given[name] ?? Number.NaN);
    if (!Number.isFinite(value)) return base[name] as number;
    return within(whole ? Math.round(value) : value, least, most);
  };
  const text = (name: keyof Settings): string =>
    typeof given[name] === 'string' ? given[name] : (base[name] as string);
  return {
    prompt: text('prompt'),
    negativePrompt: text('negativePrompt'),
    promptSyntax: promptSyntaxes.find((name) => name === given.promptSyntax) ?? base.promptSyntax,
    width: number('width', 0, limits.side, true),
    height: number('height', 0, limits.side, true),
    steps: number('steps', 1, limits.steps, true),
    sampler: text('sampler') || base.sampler,
    schedule: text('schedule'),
    guidanceScale: number('guidanceScale', 1, limits.guidanceScale, false),
    seed: seedFrom(given.seed) ?? base.seed,
    batchSize: number('batchSize', 1, limits.batchSize, true),
    strength: number('strength', 0, 1, false),
    extra: given.extra === undefined ? base.extra : checkedExtra(given.extra),
    controls: given.controls === undefined ? base.controls : checkedControls(given.controls),
  };
}

/** A seed nobody chose. */
export function anySeed(): number {
  const [value = 0] = crypto.getRandomValues(new Uint32Array(1));
  return value;
}

/** True if a prompt may mean something else in the other syntax. */
const dependsOnSyntax = (prompt: string): boolean => /[()[\]\\]|\b(?:AND|BREAK)\b/.test(prompt);

/** Settings as rows for people, in the order of the form. */
export function settingRows(settings: Settings, task: Task): readonly (readonly [label: string, value: string])[] {
  return [
    ['Prompt', settings.prompt],
    ...(settings.negativePrompt ? ([['Negative', settings.negativePrompt]] as const) : []),
    ...(dependsOnSyntax(`${settings.prompt}\n${settings.negativePrompt}`)
      ? ([['Syntax', settings.promptSyntax === 'a1111' ? 'A1111' : 'plain']] as const)
      : []),
    ['Size', `${settings.width} × ${settings.height}`],
    ['Steps', String(settings.steps)],
    ['Sampler', settings.schedule ? `${settings.sampler}, ${settings.schedule}` : settings.sampler],
    ['Guidance', String(settings.guidanceScale)],
    ['Seed', String(settings.seed)],
    ...(task === 'txt2img' ? [] : ([['Strength', String(settings.strength)]] as const)),
    ...extraRows(settings.extra, task),
    ...controlRows(settings.controls),
  ];
}
