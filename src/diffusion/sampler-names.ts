/**
 * Names of samplers and their meaning: A1111's labels ("Euler a", "DPM++ 2M Karras", its old `k_…` aliases),
 * ComfyUI's names (`dpmpp_2m_sde_gpu`) and our own (`dpmpp-2m`).
 *
 * An A1111 label implies more than the algorithm: its "Automatic" scheduler (modules/sd_samplers_kdiffusion.py, v1.10.1), whether the last but
 * one sigma is discarded, and the meaning of its scheduler names. ComfyUI's names imply its conventions. Our own have the defaults of the table.
 */

import { StableDiffusionError } from '../errors.ts';
import type { NoiseConvention } from '../random/noise-source.ts';
import { nearNames } from '../config/near-names.ts';
import { ownSpacing } from './own-spacing.ts';
import type { Sampler, SamplerSettings } from './sampler.ts';
import { findSampler, samplers } from './samplers/index.ts';
import { findSigmaSchedule, type SigmaScheduleName, sigmaSchedules } from './sigma-schedules/index.ts';

/** Program whose naming and defaults to follow. */
export type SamplerPeer = 'a1111' | 'comfy' | 'sgm';

/** The program whose sampler names a noise convention goes with. */
export function samplerPeerOf(noise: NoiseConvention): SamplerPeer | undefined {
  if (noise === 'comfy') return 'comfy';
  return noise.startsWith('a1111') ? 'a1111' : undefined;
}

/** The meaning of a name; all fields except `sampler` and `peer` go into the `SamplingRequest`. */
export interface NamedSampling {
  readonly sampler: Sampler;
  /** Name of the schedule for the request; undefined means the sampler's own. */
  readonly schedule: string | undefined;
  readonly discardNextToLastSigma: boolean | undefined;
  readonly settings: SamplerSettings;
  readonly sigmaConvention: 'k-diffusion' | 'comfy' | 'sgm';
  /** Undefined for our own names. */
  readonly peer: SamplerPeer | undefined;
}

export interface SamplerNameOptions {
  /** Name of a schedule; overrides one in the sampler's name. `Automatic` is the same as none. */
  readonly schedule?: string | undefined;
  /** Read the names as this program does, where several know them. */
  readonly peer?: SamplerPeer | undefined;
}

export interface PeerRow {
  readonly names: readonly string[];
  /** Name in the table of samplers. */
  readonly sampler: string;
  /** The schedule where none is named. */
  readonly schedule: string;
  readonly discard?: boolean;
  readonly settings?: SamplerSettings;
}

/** A1111 1.10.1: label, then aliases. */
export const a1111Samplers: readonly PeerRow[] = [
  { names: ['DPM++ 2M', 'k_dpmpp_2m'], sampler: 'dpmpp-2m', schedule: 'karras' },
  { names: ['DPM++ SDE', 'k_dpmpp_sde'], sampler: 'dpmpp-sde', schedule: 'karras' },
  { names: ['DPM++ 2M SDE', 'k_dpmpp_2m_sde'], sampler: 'dpmpp-2m-sde', schedule: 'exponential' },
  { names: ['DPM++ 2M SDE Heun', 'k_dpmpp_2m_sde_heun'], sampler: 'dpmpp-2m-sde-heun', schedule: 'exponential' },
  { names: ['DPM++ 2S a', 'k_dpmpp_2s_a'], sampler: 'dpmpp-2s-ancestral', schedule: 'karras' },
  { names: ['DPM++ 3M SDE', 'k_dpmpp_3m_sde'], sampler: 'dpmpp-3m-sde', schedule: 'exponential', discard: true },
  { names: ['Euler a', 'k_euler_a', 'k_euler_ancestral'], sampler: 'euler-ancestral', schedule: 'normal' },
  { names: ['Euler', 'k_euler'], sampler: 'euler', schedule: 'normal' },
  { names: ['LMS', 'k_lms'], sampler: 'lms', schedule: 'normal' },
  { names: ['Heun', 'k_heun'], sampler: 'heun', schedule: 'normal' },
  { names: ['DPM2', 'k_dpm_2'], sampler: 'dpm2', schedule: 'karras', discard: true },
  { names: ['DPM2 a', 'k_dpm_2_a'], sampler: 'dpm2-ancestral', schedule: 'karras', discard: true },
  { names: ['DPM fast', 'k_dpm_fast'], sampler: 'dpm-fast', schedule: 'normal' },
  { names: ['DPM adaptive', 'k_dpm_ad'], sampler: 'dpm-adaptive', schedule: 'normal' },
  { names: ['Restart', 'restart'], sampler: 'restart', schedule: 'karras' },
  { names: ['DDIM', 'ddim'], sampler: 'ddim', schedule: 'a1111' },
  { names: ['DDIM CFG++', 'ddim_cfgpp'], sampler: 'ddim-cfg-pp', schedule: 'a1111' },
  { names: ['PLMS', 'plms'], sampler: 'plms', schedule: 'a1111' },
  { names: ['UniPC', 'unipc'], sampler: 'unipc', schedule: 'time_uniform' },
  { names: ['LCM', 'k_lcm'], sampler: 'k-lcm', schedule: 'normal' },
];

const comfyHabits: SamplerSettings = { drawsOnlyUsed: true, endsAtDenoised: true, exactLevels: true };

function comfyRow(name: string, sampler: string, more: Pick<PeerRow, 'discard'> = {}): PeerRow {
  return { names: [name], sampler, schedule: 'normal', settings: comfyHabits, ...more };
}

/** The supported ones of ComfyUI's KSAMPLER_NAMES. ComfyUI always names a scheduler; `normal` is the default here. */
export const comfySamplers: readonly PeerRow[] = [
  comfyRow('euler', 'euler'),
  comfyRow('euler_ancestral', 'euler-ancestral'),
  comfyRow('heun', 'heun'),
  comfyRow('dpm_2', 'dpm2', { discard: true }),
  comfyRow('dpm_2_ancestral', 'dpm2-ancestral', { discard: true }),
  comfyRow('lms', 'lms'),
  comfyRow('dpm_fast', 'dpm-fast'),
  comfyRow('dpm_adaptive', 'dpm-adaptive'),
  comfyRow('dpmpp_2s_ancestral', 'dpmpp-2s-ancestral'),
  comfyRow('dpmpp_sde', 'dpmpp-sde'),
  comfyRow('dpmpp_sde_gpu', 'dpmpp-sde'),
  comfyRow('dpmpp_2m', 'dpmpp-2m'),
  comfyRow('dpmpp_2m_sde', 'dpmpp-2m-sde'),
  comfyRow('dpmpp_2m_sde_gpu', 'dpmpp-2m-sde'),
  comfyRow('dpmpp_2m_sde_heun', 'dpmpp-2m-sde-heun'),
  comfyRow('dpmpp_2m_sde_heun_gpu', 'dpmpp-2m-sde-heun'),
  comfyRow('dpmpp_3m_sde', 'dpmpp-3m-sde'),
  comfyRow('dpmpp_3m_sde_gpu', 'dpmpp-3m-sde'),
  comfyRow('ddpm', 'ddpm-ancestral'),
  comfyRow('ddim', 'euler'),
  comfyRow('lcm', 'k-lcm'),
  comfyRow('deis', 'deis'),
  comfyRow('heunpp2', 'heunpp2'),
  comfyRow('ipndm', 'ipndm'),
  comfyRow('ipndm_v', 'ipndm-v'),
  comfyRow('res_multistep', 'res-multistep'),
  comfyRow('res_multistep_ancestral', 'res-multistep-ancestral'),
  comfyRow('gradient_estimation', 'gradient-estimation'),
  comfyRow('er_sde', 'er-sde'),
  comfyRow('seeds_2', 'seeds-2'),
  comfyRow('seeds_3', 'seeds-3'),
  comfyRow('exp_heun_2_x0', 'exp-heun-2-x0'),
  comfyRow('exp_heun_2_x0_sde', 'exp-heun-2-x0-sde'),
  comfyRow('sa_solver', 'sa-solver'),
  comfyRow('sa_solver_pece', 'sa-solver-pece'),
  comfyRow('euler_cfg_pp', 'euler-cfg-pp'),
  comfyRow('euler_ancestral_cfg_pp', 'euler-ancestral-cfg-pp'),
  comfyRow('dpmpp_2s_ancestral_cfg_pp', 'dpmpp-2s-ancestral-cfg-pp'),
  comfyRow('dpmpp_2m_cfg_pp', 'dpmpp-2m-cfg-pp'),
  comfyRow('res_multistep_cfg_pp', 'res-multistep-cfg-pp'),
  comfyRow('res_multistep_ancestral_cfg_pp', 'res-multistep-ancestral-cfg-pp'),
  comfyRow('gradient_estimation_cfg_pp', 'gradient-estimation-cfg-pp'),
  comfyRow('uni_pc', 'k-unipc', { discard: true }),
  comfyRow('uni_pc_bh2', 'k-unipc-bh2', { discard: true }),
];

/** The samplers of Stability's sgm by class; its turbo demo's takes the first levels of a hundred steps each. */
const sgmSamplers: readonly PeerRow[] = (
  [
    ['EulerEDMSampler', 'euler'],
    ['HeunEDMSampler', 'heun'],
    ['EulerAncestralSampler', 'euler-ancestral'],
    ['DPMPP2SAncestralSampler', 'dpmpp-2s-ancestral'],
    ['DPMPP2MSampler', 'dpmpp-2m'],
    ['LinearMultistepSampler', 'lms'],
    ['SubstepSampler', 'euler-ancestral', 'turbo'],
  ] as const
).map(([name, sampler, schedule = 'legacy_ddpm']) => ({
  names: [name],
  sampler,
  schedule,
  settings: { drawsOnlyUsed: true },
}));

/** A1111's scheduler labels, names and aliases. Its `beta` and `kl_optimal` are not ComfyUI's. */
const a1111Schedules: Readonly<Record<string, SigmaScheduleName>> = {
  uniform: 'normal',
  karras: 'karras',
  exponential: 'exponential',
  polyexponential: 'polyexponential',
  'sgm uniform': 'sgm_uniform',
  sgmuniform: 'sgm_uniform',
  sgm_uniform: 'sgm_uniform',
  'kl optimal': 'kl_optimal_to_min',
  kl_optimal: 'kl_optimal_to_min',
  'align your steps': 'align_your_steps',
  align_your_steps: 'align_your_steps',
  simple: 'simple',
  normal: 'normal',
  ddim: 'ddim_uniform',
  beta: 'beta_continuous',
};

/** Ends of names that A1111 used before it had schedulers: "DPM++ 2M Karras", `k_dpmpp_2m_ka`, `k_dpmpp_2m_sde_exp`. */
const shortSuffixes: Readonly<Record<string, string>> = { _ka: 'karras', _exp: 'exponential' };

/** Schedules that a name may end in, the longest first, so that "SGM Uniform" is not read as "Uniform". */
const suffixes = ['automatic', ...Object.keys(a1111Schedules)].sort((a, b) => b.length - a.length);

interface Split {
  readonly name: string;
  readonly schedule: string | undefined;
}

/** A sampler's name without the schedule at its end, and that schedule. */
function splitSchedule(name: string): Split {
  const lower = name.toLowerCase();
  for (const label of suffixes) {
    if (lower.endsWith(` ${label}`)) return { name: name.slice(0, -label.length - 1).trimEnd(), schedule: label };
  }
  for (const [suffix, schedule] of Object.entries(shortSuffixes)) {
    if (lower.startsWith('k_') && lower.endsWith(suffix)) return { name: name.slice(0, -suffix.length), schedule };
  }
  return { name, schedule: undefined };
}

function findRow(rows: readonly PeerRow[], name: string): PeerRow | undefined {
  const lower = name.toLowerCase();
  return rows.find(({ names }) => names.some((candidate) => candidate.toLowerCase() === lower));
}

/** A row of a peer's table for a name, with or without a schedule at its end. */
function peerSampling(
  peer: SamplerPeer,
  name: string,
): { readonly row: PeerRow; readonly schedule: string | undefined } | undefined {
  const rows = { a1111: a1111Samplers, comfy: comfySamplers, sgm: sgmSamplers }[peer];
  const whole = findRow(rows, name);
  if (whole) return { row: whole, schedule: undefined };
  const split = splitSchedule(name);
  const row = findRow(rows, split.name);
  return row && { row, schedule: split.schedule };
}

function resolveSchedule(
  name: string | undefined,
  peer: SamplerPeer | undefined,
  sampler: Sampler,
): string | undefined {
  if (name === undefined || name.toLowerCase() === 'automatic') return undefined;
  if (sampler.space === 'timestep') return ownSpacing(name, sampler);
  const label = name.toLowerCase();
  const found =
    (peer === 'a1111' && Object.hasOwn(a1111Schedules, label) ? a1111Schedules[label] : undefined) ??
    findSigmaSchedule(name);
  if (found) return found;
  const names = [...Object.keys(sigmaSchedules), 'default'];
  const near = nearNames(name, names);
  throw new StableDiffusionError(
    'invalid-argument',
    `Unknown sigma schedule ${JSON.stringify(name)}. ${near.length > 0 ? `Did you mean ${near.join(', ')}? ` : ''}Available: ${names.join(', ')}.`,
  );
}

/** ComfyUI's name of a sampler of the table; undefined where it has none. */
export function comfySamplerName(sampler: string): string | undefined {
  return comfySamplers.find((row) => row.sampler === sampler)?.names[0];
}

/** Every name that `namedSampling` accepts, without schedule suffixes and repetitions. */
export function samplerNames(): readonly string[] {
  return [
    ...new Set([
      ...samplers.flatMap(({ name, title, aliases }) => [name, title, ...aliases]),
      ...a1111Samplers.flatMap(({ names }) => names),
      ...comfySamplers.flatMap(({ names }) => names),
      ...sgmSamplers.flatMap(({ names }) => names),
    ]),
  ];
}

function unknownSampler(name: string): StableDiffusionError {
  const withSchedules = a1111Samplers.flatMap(({ names: [label = ''] }) => [`${label} Karras`, `${label} Exponential`]);
  const near = nearNames(name, [...samplerNames(), ...withSchedules]);
  return new StableDiffusionError(
    'invalid-argument',
    `Unknown sampler ${JSON.stringify(name)}. ${near.length > 0 ? `Did you mean ${near.join(', ')}? ` : ''}Available: ${samplers.map((sampler) => sampler.name).join(', ')}.`,
    { details: { near } },
  );
}

/**
 * Resolves a sampler's name: first among our own names, A1111's labels and ComfyUI's names, in any case; then, also without regard
 * to spaces, `-` and `_`, among all aliases. With `peer` that program's names come first.
 * Throws `invalid-argument`, with the nearest names, for an unknown name.
 */
export function namedSampling(name: string, options: SamplerNameOptions = {}): NamedSampling {
  const wanted = name.trim();
  const own = samplers.find((sampler) => sampler.name === wanted);
  const peers: readonly SamplerPeer[] = options.peer ? [options.peer] : own ? [] : ['a1111', 'comfy', 'sgm'];
  for (const peer of peers) {
    const found = peerSampling(peer, wanted);
    if (!found) continue;
    const { row } = found;
    const sampler = findSampler(row.sampler);
    return {
      sampler,
      schedule:
        resolveSchedule(options.schedule, peer, sampler) ??
        resolveSchedule(found.schedule, peer, sampler) ??
        row.schedule,
      discardNextToLastSigma: row.discard ?? false,
      settings: row.settings ?? {},
      sigmaConvention: peer === 'a1111' ? 'k-diffusion' : peer,
      peer,
    };
  }
  const split = splitSchedule(wanted);
  const sampler = own ?? looseMatch(wanted) ?? looseMatch(split.name);
  if (!sampler) throw unknownSampler(name);
  const inName = looseMatch(wanted) ? undefined : split.schedule;
  const schedule =
    resolveSchedule(options.schedule, options.peer, sampler) ?? resolveSchedule(inName, options.peer, sampler);
  return {
    sampler,
    schedule,
    discardNextToLastSigma: undefined,
    settings: {},
    sigmaConvention: 'k-diffusion',
    peer: undefined,
  };
}

function looseMatch(name: string): Sampler | undefined {
  try {
    return findSampler(name);
  } catch {
    return undefined;
  }
}
