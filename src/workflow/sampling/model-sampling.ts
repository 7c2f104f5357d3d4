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
import { isExceptionalHalf } from './half-levels.ts';

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
    bars.map((bar) => Math.sqrt((1 - bar) / bar)),
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

/** A table whose levels between two entries, and the entries nearest to a level, are those that PyTorch gives in float32. */
function inFloat32(table: NoiseSchedule): NoiseSchedule {
  const { logSigmas, sigmas, trainTimesteps: count } = table;
  const at = (index: number): number => logSigmas[index] as number;
  const sigmaOfTimestep = (timestep: number): number => {
    const low = Math.floor(Math.min(Math.max(timestep, 0), count - 1));
    const weight = Math.fround(timestep - low);
    if (!(weight > 0 && low < count - 1)) return table.sigmaOfTimestep(timestep);
    const below = Math.fround(Math.fround(1 - weight) * at(low));
    return Math.fround(Math.exp(Math.fround(below + Math.fround(weight * at(low + 1)))));
  };
  const nearestOf = (sigma: number, start: number): number => {
    const level = Math.fround(Math.log(sigma));
    const distance = (index: number): number => Math.abs(Math.fround(level - at(index)));
    return [start - 1, start, start + 1]
      .filter((index) => index >= 0 && index < count)
      .reduce((best, index) => (distance(index) < distance(best) ? index : best));
  };
  return {
    ...table,
    sigmaOfTimestep,
    timestepOfSigma(sigma, quantize = false) {
      const start = table.timestepOfSigma(sigma, quantize);
      if (!quantize) return start;
      const nearest = nearestOf(sigma, start);
      const half = [nearest - 1, nearest].find(
        (low) => isExceptionalHalf(sigmas, low) && sigmaOfTimestep(low + 0.5) === sigma,
      );
      return half === undefined ? nearest : 2 * half + 1 - nearest;
    },
  };
}

/** Sampling over a table of levels, asked at whole timesteps. */
export function discreteSampling(table: NoiseSchedule, objective: Parameterization): ModelSampling {
  return tableSampling(inFloat32(table), objective);
}

function tableSampling(schedule: NoiseSchedule, objective: Parameterization): ModelSampling {
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

/** Steps of training that a distilled model kept. */
const distilledSteps = 50;

/** LCM: levels of 50 of the timesteps, and the boundary conditions of consistency models (Luo et al. 2023, arXiv 2310.04378). */
export function distilledSampling(original: NoiseSchedule): ModelSampling {
  const skip = Math.floor(original.trainTimesteps / distilledSteps);
  const sigmas = Float32Array.from(
    { length: distilledSteps },
    (_, i) => original.sigmas[original.trainTimesteps - 1 - (distilledSteps - 1 - i) * skip] as number,
  );
  const table = inFloat32(
    noiseSchedule(
      sigmas.map((sigma) => 1 / (1 + sigma ** 2)),
      undefined,
      sigmas,
    ),
  );
  const schedule: NoiseSchedule = {
    ...table,
    trainTimesteps: original.trainTimesteps,
    timestepOfSigma: (sigma) => table.timestepOfSigma(sigma, true) * skip + skip - 1,
    sigmaOfTimestep: (timestep) => table.sigmaOfTimestep((timestep - (skip - 1)) / skip),
  };
  const plain = tableSampling(schedule, 'eps');
  const data = 0.5;
  return {
    ...plain,
    denoised(x, output, sigma) {
      const scaled = plain.timestep(sigma) * 10;
      const variance = scaled ** 2 + data ** 2;
      return roundedSum(scaled / Math.sqrt(variance), plain.denoised(x, output, sigma), data ** 2 / variance, x);
    },
  };
}

/** A model that is given x as it is and answers with the denoised latent. */
export function imageToImageSampling(schedule: NoiseSchedule): ModelSampling {
  return { ...discreteSampling(schedule, 'x0'), inputScale: () => 1 };
}

/** Levels between two ends, even in their logarithms. */
function continuous(
  [min, max]: readonly [number, number],
  {
    timestep,
    sigma,
    data,
    objective,
  }: {
    readonly timestep: (sigma: number) => number;
    readonly sigma: (timestep: number) => number;
    readonly data: number;
    readonly objective: 'eps' | 'v' | 'edm';
  },
): ModelSampling {
  const [low, high] = [Math.log(min), Math.log(max)];
  const sigmas = Float32Array.from({ length: 1000 }, (_, i) => Math.exp(low + ((high - low) * i) / 999));
  const table = noiseSchedule(
    sigmas.map((one) => 1 / (1 + one ** 2)),
    undefined,
    sigmas,
  );
  return {
    schedule: { ...table, timestepOfSigma: timestep, sigmaOfTimestep: sigma },
    timestep,
    inputScale: (level) => 1 / Math.sqrt(level ** 2 + data ** 2),
    denoised(x, output, level) {
      if (objective === 'eps') return roundedSum(1, x, -level, output);
      const variance = level ** 2 + data ** 2;
      const sign = objective === 'edm' ? 1 : -1;
      return roundedSum(data ** 2 / variance, x, (sign * level * data) / Math.sqrt(variance), output);
    },
    percentToSigma(percent) {
      if (percent <= 0) return 999999999.9;
      return percent >= 1 ? 0 : Math.exp((high - low) * (1 - percent) + low);
    },
    objective: objective === 'edm' ? 'v' : objective,
    sigmaMin: sigmas[0] as number,
    sigmaMax: sigmas.at(-1) as number,
  };
}

/** EDM's levels: timesteps are a quarter of log sigma (Karras et al. 2022). */
export const continuousEdm = (objective: 'eps' | 'v' | 'edm', min: number, max: number): ModelSampling =>
  continuous([min, max], {
    timestep: (sigma) => 0.25 * Math.log(sigma),
    sigma: (timestep) => Math.exp(timestep / 0.25),
    data: objective === 'edm' ? 0.5 : 1,
    objective,
  });

/** v-prediction over the angle of a level. */
export const continuousV = (min: number, max: number): ModelSampling =>
  continuous([min, max], {
    timestep: (sigma) => (Math.atan(sigma) / Math.PI) * 2,
    sigma: (timestep) => Math.tan((timestep * Math.PI) / 2),
    data: 1,
    objective: 'v',
  });
