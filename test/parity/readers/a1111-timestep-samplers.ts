/** A1111's timestep samplers (DDIM, PLMS, UniPC) on the analytic model, and its LCM denoiser. */

import { join } from 'node:path';
import { stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import type { SamplerStep, SamplingRequest } from '../../../src/diffusion/sampler.ts';
import { findSampler } from '../../../src/diffusion/samplers/index.ts';
import { distilledSchedule, lcmDenoiser } from '../../../src/diffusion/samplers/lcm.ts';
import type { UniPcStep } from '../../../src/diffusion/samplers/unipc.ts';
import { scale } from '../../../src/tensor/arithmetic.ts';
import { float32 } from '../../../src/tensor/tensor.ts';
import { pick, readTensors } from '../../tensors.ts';
import { analyticSet, entry, stack } from '../analytic-model.ts';
import { collecting, type Comparisons, listDifference } from '../comparisons.ts';
import { kept } from '../kept.ts';
import { type IndexRow, originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';

const sets = kept(analyticSet);
const tensorsOf = kept((setFolder) => readTensors(join(setFolder, 'samplers/kdiffusion.safetensors')));
const sd = stableDiffusionSchedule();

const samplerOf = (row: IndexRow): string | undefined =>
  /sd_samplers_timesteps_impl\.py (ddim|ddim_cfgpp|plms|unipc)$/.exec(originalOf(row))?.[1];
const isLcmDenoiser = (row: IndexRow): boolean => /sd_samplers_lcm\.py$/.test(originalOf(row));

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) =>
    part === 'samplers' && row['skipped'] === undefined && (samplerOf(row) !== undefined || isLcmDenoiser(row)),
  compare: collecting((recorded, compare) =>
    isLcmDenoiser(recorded.row) ? compareLcmDenoiser(recorded, compare) : compareSampler(recorded, compare),
  ),
};

async function compareSampler(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const kind = samplerOf(recorded.row) ?? '';
  const settings = settingsOf(recorded);
  const tolerance: Recorded = recorded.row['tolerance'];
  const analytic = sets(recorded.setFolder);
  const tensors = tensorsOf(recorded.setFolder);
  const id = recorded.name.replace(/^.*\//, '');
  const model = analytic.model(sd, 'eps', settings.scale);
  const { variant, order, skip, eta } = settings;
  const isUniPc = kind === 'unipc';
  const request: SamplingRequest = {
    model,
    steps: isUniPc ? settings.timesteps.length : settings.steps,
    startNoise: entry(analytic.noiseBank, 0),
    stepNoise: analytic.bankNoise('a1111-cpu'),
    schedule: isUniPc ? (skip ?? 'time_uniform') : 'a1111',
    settings: { ...(variant && { variant }), ...(order && { order }), ...(eta && { eta }) },
  };
  const steps: SamplerStep[] = [];
  for await (const step of findSampler(kind).run(request)) steps.push(step);
  const after = steps.map((step) => step.latent);
  // UniPC's callback is given the corrected states, and the last, which has no corrector.
  const states = isUniPc ? [...steps.slice(1).map((step) => (step as UniPcStep).corrected), ...after.slice(-1)] : after;
  const x = [request.startNoise, ...states, ...after.slice(-1)];
  compare.tensor('x', stack(x), pick(tensors, `${id}.x`), tolerance.x);
  const denoised = pick(tensors, `${id}.denoised`);
  const got = stack(steps.slice(-(denoised.shape[0] as number)).map((step) => step.denoised));
  compare.tensor('denoised', got, denoised, tolerance.denoised);
  const wanted: readonly number[] = settings.model_t;
  compare.error('timesteps', listDifference(model.timesteps.slice(0, wanted.length), wanted), 2e-4);
}

async function compareLcmDenoiser(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { noiseBank, model } = sets(recorded.setFolder);
  const tensors = tensorsOf(recorded.setFolder);
  const abs: number = (recorded.row['tolerance'] as Recorded).abs;
  const list = (output: string, got: readonly number[] | Float32Array, tolerance: number): void =>
    compare.tensor(output, float32([got.length], got), pick(tensors, `lcm_denoiser.${output}`), tolerance);
  const distilled = distilledSchedule(sd);
  list('sigmas', distilled.schedule.sigmas, abs);
  const sigmas = Array.from(pick(tensors, 'lcm_denoiser.sigma').data, Number);
  list('sigma_to_t', sigmas.map(distilled.timestepOfSigma), 0);
  list('t_to_sigma', [19, 39, 500, 999, 0, 777].map(distilled.sigmaOfTimestep), abs);
  const denoise = lcmDenoiser(model(sd));
  const out = await Promise.all(sigmas.map((sigma) => denoise(scale(entry(noiseBank, 0), sigma), sigma)));
  compare.tensor('out', stack(out), pick(tensors, 'lcm_denoiser.out'), abs);
}
