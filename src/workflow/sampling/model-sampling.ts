/**
 * How a model is sampled, in sigma space: its noise levels, the timestep and the scaling of its input at a level, and the denoised latent
 * that its output means. After ComfyUI's `model_sampling.py`; Karras et al. 2022 (arXiv 2206.00364), section 5.
 */

import { betasOf, type ScheduleParams } from '../../diffusion/model-schedule.ts';
import { alphasCumprodOf, type NoiseSchedule, noiseSchedule } from '../../diffusion/noise-schedule.ts';
import type { Parameterization } from '../../diffusion/objective.ts';
import { percentToSigma } from '../../diffusion/sigma-schedules/percent-to-sigma.ts';
import { roundedSum } from '../../tensor/arithmetic.ts';
import type { Tensor } from '../../tensor/tensor.ts';

type Latent = Tensor<'float32'>;

export interface ModelSampling {
  /** For sigma schedules: levels, and the way between levels and timesteps. */
  readonly schedule: NoiseSchedule;
  /** The network's timestep at a level. */
  readonly timestep: (sigma: number) => number;
  /** The factor on x before the network sees it. */
  readonly inputScale: (sigma: number) => number;
  readonly denoised: (x: Latent, output: Latent, sigma: number) => Latent;
  /** Level at a share of the run, from 0 (noise) to 1 (picture). */
  readonly percentToSigma: (percent: number) => number;
  /** What the network's output is. */
  readonly objective: Parameterization;
  readonly sigmaMin: number;
  readonly sigmaMax: number;
}

/** The levels of a table of variances, in float64 before they are rounded. */
export function scheduleOfBetas(betas: Float64Array): NoiseSchedule {
  const bars = alphasCumprodOf(betas);
  return noiseSchedule(
    Float32Array.from(bars),
    betas,
    Float32Array.from(bars, (bar) => Math.sqrt((1 - bar) / bar)),
  );
}

/** `c_skip x + c_out output` of an objective; `data` is the deviation of the data. */
function denoisedBy(objective: Parameterization, data = 1): ModelSampling['denoised'] {
  return (x, output, sigma) => {
    if (objective === 'x0') return output;
    if (objective === 'eps') return roundedSum(1, x, -sigma, output);
    const variance = sigma ** 2 + data ** 2;
    return roundedSum(data ** 2 / variance, x, (-sigma * data) / Math.sqrt(variance), output);
  };
}

/** Sampling over a table of levels, asked at whole timesteps. */
export function discreteSampling(schedule: NoiseSchedule, objective: Parameterization): ModelSampling {
  return {
    schedule,
    timestep: (sigma) => schedule.timestepOfSigma(sigma, true),
    inputScale: (sigma) => 1 / Math.sqrt(Math.fround(sigma * sigma) + 1),
    denoised: denoisedBy(objective),
    percentToSigma: (percent) => percentToSigma(schedule, percent),
    objective,
    sigmaMin: schedule.sigmas[0] as number,
    sigmaMax: schedule.sigmas.at(-1) as number,
  };
}

/** The sampling of a model's configuration. */
export function samplingOf(params: ScheduleParams & { readonly parameterization: Parameterization }): ModelSampling {
  return discreteSampling(scheduleOfBetas(betasOf(params)), params.parameterization);
}
