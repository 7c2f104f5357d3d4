/** The library's presets by the labels of the page's fields. */

import { presets, type Preset } from '../../../src/generation/presets.ts';
import { defaultSettings, type Settings } from './settings.ts';

type Sampling = Pick<Settings, 'sampler' | 'schedule' | 'steps' | 'guidanceScale'>;

export interface PagePreset {
  readonly name: string;
  readonly label: string;
  readonly settings: Sampling;
}

/** A1111's labels of the samplers and spacings of presets. */
const samplerLabels: Readonly<Record<string, string>> = {
  'k-lcm': 'LCM',
  'euler-ancestral': 'Euler a',
  euler: 'Euler',
  'dpmpp-2m': 'DPM++ 2M',
};
const spacingLabels: Readonly<Record<string, string>> = { sgm_uniform: 'SGM Uniform', karras: 'Karras' };

/** What the form begins with. */
export const usualSampling: Sampling = {
  sampler: defaultSettings.sampler,
  schedule: defaultSettings.schedule,
  steps: defaultSettings.steps,
  guidanceScale: defaultSettings.guidanceScale,
};

/** Those presets whose sampler the engine has. */
export function offeredPresets(samplers: readonly string[]): readonly PagePreset[] {
  return Object.entries(presets).flatMap(([name, { models, settings }]: [string, Preset]) => {
    const sampler = samplerLabels[settings.sampler];
    if (sampler === undefined || !samplers.includes(sampler)) return [];
    const { schedule = '', steps, guidanceScale } = settings;
    const label = `${name[0]?.toUpperCase()}${name.slice(1)}: ${steps} ${steps === 1 ? 'step' : 'steps'}, ${models}`;
    return [
      { name, label, settings: { sampler, schedule: spacingLabels[schedule] ?? schedule, steps, guidanceScale } },
    ];
  });
}
