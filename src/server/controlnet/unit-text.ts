/** The settings of a control as sd-webui-controlnet writes them into A1111's settings text (`ControlNetUnit.serialize`). */

import { pythonFloat } from '../../image/metadata/infotext.ts';
import type { JobRequest } from '../job.ts';
import type { JobControl, JobImagePrompt } from '../job-controls.ts';
import { findModule, ownValue, type Slider } from './modules.ts';

export const resizeTexts = { stretch: 'Just Resize', crop: 'Crop and Resize', fill: 'Resize and Fill' } as const;
export const modeTexts = {
  balanced: 'Balanced',
  prompt: 'My prompt is more important',
  control: 'ControlNet is more important',
  guess: 'ControlNet is more important',
} as const;

/** A given number is a float there; the module's own is whole where its slider moves in whole steps. */
function thresholdText(given: number | undefined, slider: Slider | undefined): string {
  if (given !== undefined) return pythonFloat(given);
  const own = ownValue(slider);
  return slider && Number.isInteger(slider.step) ? String(own) : pythonFloat(own);
}

function unitText(unit: JobControl | JobImagePrompt): string {
  const control = 'preprocessor' in unit ? unit : undefined;
  const name = control?.preprocessor ?? ('module' in unit ? unit.module : undefined) ?? 'ip-adapter-auto';
  const module = findModule(name);
  const resolution = control?.resolution ?? ownValue(module?.resolution);
  const rows: readonly (readonly [string, string])[] = [
    ['Module', name],
    ['Model', unit.model],
    ['Weight', pythonFloat(unit.weight)],
    ['Resize Mode', resizeTexts[control?.resize ?? 'crop']],
    ['Processor Res', String(resolution)],
    ['Threshold A', thresholdText(control?.thresholdA, module?.a)],
    ['Threshold B', thresholdText(control?.thresholdB, module?.b)],
    ['Guidance Start', pythonFloat(unit.start)],
    ['Guidance End', pythonFloat(unit.end)],
    ['Pixel Perfect', control?.pixelPerfect ? 'True' : 'False'],
    ['Control Mode', modeTexts[control?.mode ?? 'balanced']],
  ];
  // As there: what would not be read back is left out.
  if (rows.some(([, value]) => /[,:]/.test(value))) return '';
  return rows.map(([key, value]) => `${key}: ${value}`).join(', ');
}

/** `ControlNet 0: …` for each control of a job. */
export function controlLines({
  control = [],
  imagePrompts = [],
}: Pick<JobRequest, 'control' | 'imagePrompts'>): Record<string, string> {
  return Object.fromEntries([...control, ...imagePrompts].map((unit, i) => [`ControlNet ${i}`, unitText(unit)]));
}
