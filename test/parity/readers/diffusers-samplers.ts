/** diffusers' schedulers on the analytic model: the latent after every step and what `step()` predicts of the clean one. */

import { join } from 'node:path';
import { diffusersSampler, schedulerOf } from '../../../src/diffusion/diffusers/scheduler.ts';
import { diffusersSchedulerClasses } from '../../../src/diffusion/diffusers/scheduler-classes.ts';
import {
  type DiffusersSchedulerConfig,
  diffusersParameterization,
} from '../../../src/diffusion/diffusers/scheduler-config.ts';
import { noiseSchedule, stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import type { SamplerStep, SamplingRequest } from '../../../src/diffusion/sampler.ts';
import { scale } from '../../../src/tensor/arithmetic.ts';
import { expectDType, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick, readTensors } from '../../tensors.ts';
import { analyticSet, entry, stack } from '../analytic-model.ts';
import { collecting, listDifference } from '../comparisons.ts';
import { kept } from '../kept.ts';
import { type IndexRow, originalOf, type Reader, type Recorded, settingsOf } from '../reader.ts';

const sets = kept(analyticSet);
const tensorsOf = kept((setFolder) => readTensors(join(setFolder, 'samplers/diffusers.safetensors')));
const sd = stableDiffusionSchedule();
const base = {
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
} as const;

/** Schedulers that call the model twice a step and were recorded after each call. */
const twoCalls = /^(Heun|KDPM2)/;
const classOf = (row: IndexRow): string => / (\w+Scheduler)$/.exec(originalOf(row))?.[1] ?? '';

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) =>
    part === 'samplers' &&
    row['skipped'] === undefined &&
    (diffusersSchedulerClasses as readonly string[]).includes(classOf(row)),
  compare: collecting(async (recorded, compare) => {
    const className = classOf(recorded.row);
    const settings = settingsOf(recorded);
    const tolerance: Recorded = recorded.row['tolerance'];
    const tensors = tensorsOf(recorded.setFolder);
    const analytic = sets(recorded.setFolder);
    const id = recorded.name.slice(recorded.name.indexOf('/') + 1);
    const config: DiffusersSchedulerConfig = { ...base, ...settings.config };
    const { config: whole } = schedulerOf(className, config);
    const model = analytic.model(modelSchedule(className, config), diffusersParameterization(whole), settings.scale);
    const { eta, s_churn: sChurn, s_tmin: sTmin, s_tmax: sTmax, s_noise: sNoise } = settings.step_args;
    const request: SamplingRequest = {
      model,
      steps: settings.steps,
      startNoise: entry(analytic.noiseBank, 0),
      stepNoise: analytic.bankNoise('diffusers'),
      settings: { ...(eta !== undefined && { eta }), ...(sChurn !== undefined && { sChurn, sTmin, sTmax, sNoise }) },
    };
    const useClippedModelOutput = settings.step_args.use_clipped_model_output ?? false;
    const sampler = diffusersSampler(className, config, { useClippedModelOutput });
    const steps: SamplerStep[] = [];
    for await (const step of sampler.run(request)) steps.push(step);
    const exact = sampler.space === 'timestep';
    compare.error('timesteps', listDifference(model.timesteps, settings.timesteps), exact ? 0 : 1e-3);

    const start = scale(request.startNoise, settings.init_noise_sigma);
    const x = stack([start, ...steps.map((step) => step.latent)]);
    const wanted = pick(tensors, `${id}.x`);
    const thinned = twoCalls.test(className);
    compare.tensor('x', x, thinned ? everySecond(wanted, true) : wanted, tolerance.x);
    const predictions = tensors.get(`${id}.pred`);
    if (!predictions) return;
    if (settings.pred_is === 'pred_noised_sample')
      return compare.skip('pred', 'the noised guess is not among our outputs');
    const got = stack(steps.map((step) => step.denoised));
    compare.tensor('pred', got, thinned ? everySecond(predictions, false) : predictions, tolerance.pred);
  }),
};

/** The recorded model is SD's own, or for zero SNR the rescaled one with a last alphas_cumprod of 2^-24. */
function modelSchedule(className: string, config: DiffusersSchedulerConfig) {
  if (!config.rescale_betas_zero_snr) return sd;
  const rescaled = schedulerOf(className, config).schedule.alphasCumprod.slice();
  rescaled[rescaled.length - 1] = 2 ** -24;
  return noiseSchedule(rescaled);
}

/** Entries 0, 2, 4, …, and the last one too where it is asked. */
function everySecond(tensor: Tensor, andLast: boolean): Tensor<'float32'> {
  const all = expectDType(tensor, 'float32');
  const count = all.shape[0] as number;
  const indices = Array.from({ length: count }, (_, i) => i).filter((i) => i % 2 === 0 || (andLast && i === count - 1));
  return stack(indices.map((i) => entry(all, i)));
}
