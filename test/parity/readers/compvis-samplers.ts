/** CompVis's samplers on the analytic model: the latent and the predicted x0 after every step, timesteps, number of draws. */

import { join } from 'node:path';
import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { qSample } from '../../../src/diffusion/inpainting.ts';
import { ddpmBuffers, noiseScheduleOf, stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import type { SamplerStep, Sampling, SamplingRequest } from '../../../src/diffusion/sampler.ts';
import { findSampler } from '../../../src/diffusion/samplers/index.ts';
import { stochasticEncode } from '../../../src/diffusion/samplers/timestep-sampler.ts';
import { ddimTimesteps } from '../../../src/diffusion/timesteps.ts';
import { expectDType, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { type AnalyticSet, analyticSet, entry, stack } from '../analytic-model.ts';
import { collecting, type Comparisons, listDifference } from '../comparisons.ts';
import { kept } from '../kept.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';

const sets = kept(analyticSet);
const recordedTensors = kept((setFolder) => readTensors(join(setFolder, 'samplers/compvis.safetensors')));
const sd = stableDiffusionSchedule();

/** Our sampler by the original's function. */
const samplerNames: readonly (readonly [RegExp, string])[] = [
  [/p_sample_loop/, 'ddpm'],
  [/DDIMSampler/, 'ddim'],
  [/PLMSSampler/, 'plms'],
  [/DPM_?Solver/, 'dpm-solver'],
];
const samplerOf = (row: RecordedCase['row']): string | undefined =>
  samplerNames.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) =>
    part === 'samplers' &&
    row['skipped'] === undefined &&
    /CompVis/.test(originalOf(row)) &&
    (samplerOf(row) !== undefined || /q_sample/.test(String(row['exercises']))),
  compare: collecting(async (recorded, compare) => {
    const { settings, tensors, known } = context(recorded);
    if (samplerOf(recorded.row) === undefined) return compareForward(recorded, compare);
    const name = recorded.name.replace(/^.*\//, '');
    const { model, noise, request, isSolver } = requestOf(recorded);
    if (settings.error !== undefined) {
      const timesteps = ddimTimesteps('uniform', settings.S, sd.trainTimesteps);
      const got = stochasticEncode(request, known.x0, timesteps, settings.t_enc);
      const note = `the original raises: ${settings.error}; ours encodes to the last timestep`;
      compare.tensor('x', got, qSample(sd, known.x0, sd.trainTimesteps - 1, request.startNoise), 0, { note });
      const { steps } = await collect(findSampler('ddim').run(request));
      compare.exact('steps', steps.length, settings.ddim_steps);
      return;
    }
    const { steps, result } = await collect(findSampler(samplerOf(recorded.row) ?? '').run(request));
    const start = settings.t_enc === undefined ? request.startNoise : (model.seen[0] as Latent);
    const x = isSolver ? [...model.seen, result] : [start, ...steps.map((step) => step.latent)];
    const tolerance = toleranceOf(recorded);
    compare.tensor('x', stack(x), pick(tensors, `${name}.x`), tolerance.x);
    if (!isSolver) {
      const predicted = stack(steps.map((step) => step.denoised));
      compare.tensor('pred_x0', predicted, pick(tensors, `${name}.pred_x0`), tolerance.pred_x0);
    }
    // float32 logarithms of the original: its fractional timesteps agree to their last digits only.
    if (settings.model_t)
      compare.error('timesteps', listDifference(model.timesteps, settings.model_t), isSolver ? 2e-4 : 0);
    if (settings.noise_draws !== undefined)
      compare.exact('draws', noise.drawn + (settings.t_enc === undefined ? 0 : 1), settings.noise_draws);
    const numbers = steps.map((step) => step.step);
    compare.exact(
      'numbers of the steps',
      numbers,
      Array.from(steps, (_, i) => i + 1),
    );
    compare.exact('the result is the last latent', result === steps.at(-1)?.latent, true);
  }),
};

interface Context {
  readonly settings: Recorded;
  readonly tensors: Tensors;
  readonly analytic: AnalyticSet;
  /** The picture and the mask of the inpainting cases. */
  readonly known: { readonly x0: Latent; readonly mask: Latent };
}

function context(recorded: RecordedCase): Context {
  const tensors = recordedTensors(recorded.setFolder);
  const known = {
    x0: expectDType(pick(tensors, 'x0'), 'float32'),
    mask: expectDType(pick(tensors, 'mask'), 'float32'),
  };
  return { settings: settingsOf(recorded), tensors, analytic: sets(recorded.setFolder), known };
}

function toleranceOf({ row }: RecordedCase): Recorded {
  return row['tolerance'];
}

function requestOf(recorded: RecordedCase) {
  const { settings, analytic, known } = context(recorded);
  const schedule = settings.N
    ? noiseScheduleOf({ timesteps: settings.N, linearStart: settings.linear_start, linearEnd: settings.linear_end })
    : sd;
  const model = analytic.model(schedule, settings.param ?? 'eps', settings.scale ?? 1);
  const encoding = settings.t_enc !== undefined;
  const noise = analytic.bankNoise('compvis', encoding ? 2 : 1);
  const steps = settings.N ?? settings.S ?? settings.steps;
  const masked = settings.mask === true || /mask blended/.test(String(recorded.row['exercises']));
  const startStep = encoding ? steps - settings.t_enc : settings.start_T ? settings.N - settings.start_T : undefined;
  const request: SamplingRequest = {
    model,
    steps,
    startNoise: entry(analytic.noiseBank, encoding ? 1 : 0),
    stepNoise: noise,
    inpainting: masked ? { mask: known.mask, latent: known.x0 } : undefined,
    initial: encoding ? known.x0 : undefined,
    startStep,
    schedule: settings.skip_type,
    settings: {
      ...(settings.eta && { eta: settings.eta }),
      ...(settings.temperature && { temperature: settings.temperature }),
      ...(settings.order && { order: settings.order, method: settings.method, predictX0: settings.predict_x0 }),
      ...(settings.solver_type && { solverType: settings.solver_type === 'taylor' ? 'heun' : 'midpoint' }),
    },
  };
  return { model, noise, request, isSolver: samplerOf(recorded.row) === 'dpm-solver' };
}

async function collect(sampling: Sampling): Promise<{ steps: SamplerStep[]; result: Latent }> {
  const steps: SamplerStep[] = [];
  for (;;) {
    const next = await sampling.next();
    if (next.done) return { steps, result: next.value };
    steps.push(next.value);
  }
}

/** q_sample, predict_start_from_noise and q_posterior of the items of x0, each at its timestep. */
function compareForward(recorded: RecordedCase, compare: Comparisons): void {
  const { settings, tensors, analytic, known } = context(recorded);
  const tolerance = toleranceOf(recorded);
  const buffers = ddpmBuffers(sd.betas);
  const times: readonly number[] = settings.t;
  const size = known.x0.data.length / times.length;
  const [b3, b4, b5] = [3, 4, 5].map((k) => entry(analytic.noiseBank, k)) as [Latent, Latent, Latent];
  /** Each element from its index in the whole tensor and its item's timestep. */
  const build = (value: (i: number, t: number) => number): Latent => ({
    ...known.x0,
    data: known.x0.data.map((_, i) => value(i, times[Math.floor(i / size)] as number)),
  });
  const at = (latent: Latent, i: number): number => latent.data[i] as number;
  const sampled = new Map(times.map((t) => [t, qSample(sd, known.x0, t, b3)]));
  const made: Readonly<Record<string, Tensor>> = {
    q_sample: build((i, t) => at(sampled.get(t) as Latent, i)),
    predict_start_from_noise: build(
      (i, t) =>
        (buffers.sqrt_recip_alphas_cumprod[t] as number) * at(b4, i) -
        (buffers.sqrt_recipm1_alphas_cumprod[t] as number) * at(b5, i),
    ),
    'q_posterior.mean': build(
      (i, t) =>
        (buffers.posterior_mean_coef1[t] as number) * at(known.x0, i) +
        (buffers.posterior_mean_coef2[t] as number) * at(b4, i),
    ),
  };
  for (const [name, got] of Object.entries(made)) compare.tensor(name, got, pick(tensors, name), tolerance.abs);
  for (const name of ['variance', 'log_variance_clipped'] as const) {
    const got = Float32Array.from(times, (t) => buffers[`posterior_${name}`][t] as number);
    const want = pick(tensors, `q_posterior.${name}`);
    const relative = tolerance.rel * Math.max(...Array.from(expectDType(want, 'float32').data, Math.abs));
    const shaped: Tensor = { dtype: 'float32', shape: [times.length, 1, 1, 1], data: got };
    compare.tensor(`q_posterior.${name}`, shaped, want, tolerance.abs + relative);
  }
}
