/**
 * The names of samplers and schedules as literal types, so that editors complete them; any other text that `namedSampling` reads is a name too.
 * A test compares these lists with the tables.
 */

/** This program's names. */
export const ownSamplerNames = [
  'ddim',
  'ddim-cfg-pp',
  'plms',
  'ddpm',
  'dpm-solver',
  'dpm-solver-adaptive',
  'unipc',
  'k-unipc',
  'k-unipc-bh2',
  'deis',
  'lcm',
  'k-lcm',
  'tcd',
  'euler',
  'euler-ancestral',
  'heun',
  'dpm2',
  'dpm2-ancestral',
  'lms',
  'dpm-fast',
  'dpm-adaptive',
  'dpmpp-2s-ancestral',
  'dpmpp-sde',
  'dpmpp-2m',
  'dpmpp-2m-sde',
  'dpmpp-2m-sde-heun',
  'dpmpp-3m-sde',
  'restart',
  'ddpm-ancestral',
  'heunpp2',
  'ipndm',
  'ipndm-v',
  'res-multistep',
  'res-multistep-ancestral',
  'gradient-estimation',
  'er-sde',
  'seeds-2',
  'seeds-3',
  'exp-heun-2-x0',
  'exp-heun-2-x0-sde',
  'sa-solver',
  'sa-solver-pece',
  'euler-cfg-pp',
  'euler-ancestral-cfg-pp',
  'dpmpp-2s-ancestral-cfg-pp',
  'dpmpp-2m-cfg-pp',
  'res-multistep-cfg-pp',
  'res-multistep-ancestral-cfg-pp',
  'gradient-estimation-cfg-pp',
] as const;

/** A1111's labels. */
export const a1111SamplerLabels = [
  'DPM++ 2M',
  'DPM++ SDE',
  'DPM++ 2M SDE',
  'DPM++ 2M SDE Heun',
  'DPM++ 2S a',
  'DPM++ 3M SDE',
  'Euler a',
  'Euler',
  'LMS',
  'Heun',
  'DPM2',
  'DPM2 a',
  'DPM fast',
  'DPM adaptive',
  'Restart',
  'DDIM',
  'DDIM CFG++',
  'PLMS',
  'UniPC',
  'LCM',
] as const;

/** ComfyUI's names. */
export const comfySamplerNames = [
  'euler',
  'euler_ancestral',
  'heun',
  'dpm_2',
  'dpm_2_ancestral',
  'lms',
  'dpm_fast',
  'dpm_adaptive',
  'dpmpp_2s_ancestral',
  'dpmpp_sde',
  'dpmpp_sde_gpu',
  'dpmpp_2m',
  'dpmpp_2m_sde',
  'dpmpp_2m_sde_gpu',
  'dpmpp_2m_sde_heun',
  'dpmpp_2m_sde_heun_gpu',
  'dpmpp_3m_sde',
  'dpmpp_3m_sde_gpu',
  'ddpm',
  'ddim',
  'lcm',
  'deis',
  'heunpp2',
  'ipndm',
  'ipndm_v',
  'res_multistep',
  'res_multistep_ancestral',
  'gradient_estimation',
  'er_sde',
  'seeds_2',
  'seeds_3',
  'exp_heun_2_x0',
  'exp_heun_2_x0_sde',
  'sa_solver',
  'sa_solver_pece',
  'euler_cfg_pp',
  'euler_ancestral_cfg_pp',
  'dpmpp_2s_ancestral_cfg_pp',
  'dpmpp_2m_cfg_pp',
  'res_multistep_cfg_pp',
  'res_multistep_ancestral_cfg_pp',
  'gradient_estimation_cfg_pp',
  'uni_pc',
  'uni_pc_bh2',
] as const;

/** Schedules of sigmas, and spacings of CompVis's samplers. */
export const scheduleNames = [
  'normal',
  'karras',
  'exponential',
  'polyexponential',
  'sgm_uniform',
  'simple',
  'ddim_uniform',
  'beta',
  'beta_continuous',
  'linear_quadratic',
  'kl_optimal',
  'kl_optimal_to_min',
  'align_your_steps',
  'align_your_steps_xl',
  'vp',
  'turbo',
  'legacy_ddpm',
  'uniform',
  'quad',
] as const;

/** Any other text. In a union with literals, editors still complete the literals. */
type OtherText = string & Readonly<Record<never, never>>;

/** The name of a sampler, such as `ddim`, `DPM++ 2M Karras` or `dpmpp_2m`. */
export type SamplerName =
  | (typeof ownSamplerNames)[number]
  | (typeof a1111SamplerLabels)[number]
  | `${(typeof a1111SamplerLabels)[number]} Karras`
  | (typeof comfySamplerNames)[number]
  | OtherText;

/** The name of a spacing of the steps, such as `karras`. */
export type ScheduleName = (typeof scheduleNames)[number] | OtherText;
