/** A1111's labels of samplers and schedules of ComfyUI, InvokeAI and k-diffusion, for settings read from pictures. */

import type { InfotextValue } from './infotext.ts';
import { text } from './setting-values.ts';

export type SettingRow = readonly [key: string, value: InfotextValue | undefined];

/** A1111's labels of the samplers of k-diffusion, ComfyUI and diffusers. */
const samplerLabels: ReadonlyMap<string, string> = new Map([
  ['euler', 'Euler'],
  ['euler_a', 'Euler a'],
  ['euler_ancestral', 'Euler a'],
  ['heun', 'Heun'],
  ['lms', 'LMS'],
  ['dpm_2', 'DPM2'],
  ['kdpm_2', 'DPM2'],
  ['dpm_2_a', 'DPM2 a'],
  ['dpm_2_ancestral', 'DPM2 a'],
  ['kdpm_2_a', 'DPM2 a'],
  ['dpm_fast', 'DPM fast'],
  ['dpm_adaptive', 'DPM adaptive'],
  ['dpmpp_2s_a', 'DPM++ 2S a'],
  ['dpmpp_2s_ancestral', 'DPM++ 2S a'],
  ['dpmpp_2', 'DPM++ 2M'],
  ['dpmpp_2m', 'DPM++ 2M'],
  ['dpmpp_sde', 'DPM++ SDE'],
  ['dpmpp_2m_sde', 'DPM++ 2M SDE'],
  ['dpmpp_2m_sde_heun', 'DPM++ 2M SDE Heun'],
  ['dpmpp_3m_sde', 'DPM++ 3M SDE'],
  ['ddim', 'DDIM'],
  ['plms', 'PLMS'],
  ['pndm', 'PLMS'],
  ['unipc', 'UniPC'],
  ['uni_pc', 'UniPC'],
  ['lcm', 'LCM'],
  ['restart', 'Restart'],
]);

/** A1111's labels of ComfyUI's schedules. */
const scheduleLabels: ReadonlyMap<string, string> = new Map([
  ['normal', 'Normal'],
  ['karras', 'Karras'],
  ['exponential', 'Exponential'],
  ['sgm_uniform', 'SGM Uniform'],
  ['simple', 'Simple'],
  ['ddim_uniform', 'DDIM'],
  ['beta', 'Beta'],
  ['kl_optimal', 'KL Optimal'],
]);

/** A name without an equal in A1111 stays as the program wrote it. */
export function comfySampling(sampler: unknown, schedule: unknown): readonly SettingRow[] {
  const [name, spacing] = [text(sampler), text(schedule)];
  return [
    ['Sampler', name && (samplerLabels.get(name.replace(/_gpu$/, '')) ?? name)],
    ['Schedule type', spacing && (scheduleLabels.get(spacing) ?? spacing)],
  ];
}

/** InvokeAI's name has the schedule at its end, `dpmpp_2m_k` (Karras), or in 2.x an algorithm's at its beginning, `k_lms`. */
export function invokeSampling(given: unknown): readonly SettingRow[] {
  const name = text(given);
  if (name === undefined) return [];
  const algorithm = name.replace(/^k_/, '').replace(/_k$/, '');
  const label = samplerLabels.get(algorithm) ?? algorithm;
  // These space timesteps themselves.
  const spacesItself = /^(?:DDIM|PLMS|UniPC|LCM|ddpm|deis|tcd)$/.test(label);
  const spacing = name.endsWith('_k') ? 'Karras' : 'Normal';
  return [
    ['Sampler', label],
    ['Schedule type', spacesItself && spacing === 'Normal' ? undefined : spacing],
  ];
}
