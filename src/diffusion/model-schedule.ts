/** The noise schedule that a model's configuration means, for sampling and training alike. */

import { type BetaScheduleName, betaSchedule } from './beta-schedule.ts';
import { type ContinuousLevels, continuousSchedule } from './continuous-levels.ts';
import { type NoiseSchedule, noiseScheduleOf } from './noise-schedule.ts';
import { zeroTerminalSnr } from './sigma-schedules/zero-terminal-snr.ts';

/** Its fields, by the names of DDPM in CompVis; `rescale_betas_zero_snr` is diffusers'. */
export interface ScheduleParams {
  readonly given_betas: readonly number[] | null;
  readonly beta_schedule: BetaScheduleName;
  readonly timesteps: number;
  readonly linear_start: number;
  readonly linear_end: number;
  readonly cosine_s: number;
  readonly rescale_betas_zero_snr: boolean;
  readonly v_posterior: number;
  readonly noise_levels: ContinuousLevels | null;
}

/** float64 [T]: its betas. With zero terminal SNR the last level keeps a trace of signal, so that sigma space stays finite. */
export function betasOf(params: ScheduleParams): Float64Array {
  const betas = params.given_betas
    ? Float64Array.from(params.given_betas)
    : betaSchedule(params.beta_schedule, params.timesteps, {
        linearStart: params.linear_start,
        linearEnd: params.linear_end,
        cosineS: params.cosine_s,
      });
  return params.rescale_betas_zero_snr ? zeroTerminalSnr(noiseScheduleOf(betas)).betas : betas;
}

export function scheduleOf(params: ScheduleParams): NoiseSchedule {
  if (params.noise_levels) return continuousSchedule(params.noise_levels);
  return { ...noiseScheduleOf(betasOf(params)), vPosterior: params.v_posterior };
}
