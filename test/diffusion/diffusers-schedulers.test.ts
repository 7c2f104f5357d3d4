/**
 * diffusers' schedulers against recorded trajectories and timesteps (reference diffusion/samplers, diffusers/*, and diffusion/schedules).
 * The tolerances have a floor of 2e-5, for some of the original's internals stay in float32.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { rescaleZeroTerminalSnr } from '../../src/diffusion/beta-schedule.ts';
import { diffusersSchedulerClasses } from '../../src/diffusion/diffusers/scheduler-classes.ts';
import {
  type DiffusersSchedulerConfig,
  diffusersParameterization,
} from '../../src/diffusion/diffusers/scheduler-config.ts';
import { diffusersSampler, schedulerOf } from '../../src/diffusion/diffusers/scheduler.ts';
import { kSigmaTimes, solverSigmaTimes } from '../../src/diffusion/diffusers/sigma-times.ts';
import { noiseSchedule, stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { SamplerStep, SamplingRequest } from '../../src/diffusion/sampler.ts';
import { lcmTimesteps } from '../../src/diffusion/samplers/lcm.ts';
import { pndmPlan } from '../../src/diffusion/samplers/pndm.ts';
import { spacedTimesteps } from '../../src/diffusion/timesteps.ts';
import { scale } from '../../src/tensor/arithmetic.ts';
import { expectDType } from '../../src/tensor/tensor.ts';
import { compareTensor, recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { analyticModel, bankNoise, entry, noiseBank, samplerCases, stack } from './analytic-model.ts';

const base = {
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
} as const;
const sd = stableDiffusionSchedule();
const { cases, tensors } = samplerCases('diffusers/', 'diffusers');

/** Schedulers that call the model twice a step and were recorded after each call. */
const twoCalls = /^(Heun|KDPM2)/;

for (const { id, settings, tolerance, reference: from, skipped } of cases) {
  const part = 'diffusion/samplers';
  const className = from?.function ?? '';
  if (skipped || !(diffusersSchedulerClasses as readonly string[]).includes(className)) {
    test(`${id}: not compared`, () =>
      recordParity({
        part,
        case: id,
        output: 'x',
        error: 0,
        tolerance: 0,
        note: `skipped: ${skipped ?? `${className} is not among the samplers`}`,
      }));
    continue;
  }
  test(`${id}: ${className}`, async () => {
    const config: DiffusersSchedulerConfig = { ...base, ...settings.config };
    const { config: whole, schedule: meant } = schedulerOf(className, config);
    // The recorded model is SD's own, or for zero SNR the rescaled one with a last alphas_cumprod of 2^-24.
    const rescaled = meant.alphasCumprod.slice();
    rescaled[rescaled.length - 1] = 2 ** -24;
    const model = analyticModel(
      config.rescale_betas_zero_snr ? noiseSchedule(rescaled) : sd,
      diffusersParameterization(whole),
      settings.scale,
    );
    const noise = bankNoise('diffusers');
    const { eta, s_churn: sChurn, s_tmin: sTmin, s_tmax: sTmax, s_noise: sNoise } = settings.step_args;
    const request: SamplingRequest = {
      model,
      steps: settings.steps,
      startNoise: entry(noiseBank, 0),
      stepNoise: noise,
      settings: { ...(eta !== undefined && { eta }), ...(sChurn !== undefined && { sChurn, sTmin, sTmax, sNoise }) },
    };
    const sampler = diffusersSampler(className, config, {
      useClippedModelOutput: settings.step_args.use_clipped_model_output ?? false,
    });
    const steps: SamplerStep[] = [];
    for await (const step of sampler.run(request)) steps.push(step);
    for (const [i, t] of (settings.timesteps as number[]).entries())
      assert.ok(
        Math.abs(t - (model.timesteps[i] as number)) <= (sampler.space === 'timestep' ? 0 : 1e-3),
        `timestep ${i}: ${model.timesteps[i]} and not ${t}`,
      );
    assert.equal(model.timesteps.length, settings.timesteps.length);

    const start = scale(entry(noiseBank, 0), settings.init_noise_sigma);
    const wanted = pick(tensors, `${id.slice(10)}.x`);
    const predictions = tensors.get(`${id.slice(10)}.pred`);
    const common = { part, case: id, ...(from && { reference: `diffusers ${from.version} ${className}` }) };
    const every = (tensor: typeof wanted) => {
      const all = expectDType(tensor, 'float32');
      const count = all.shape[0] as number;
      if (!twoCalls.test(className)) return all;
      return stack(
        Array.from({ length: count }, (_, i) => i)
          .filter((i) => i % 2 === 0 || (tensor === wanted && i === count - 1))
          .map((i) => entry(all, i)),
      );
    };
    compareTensor(
      { ...common, output: 'x', tolerance: tolerance['x'] as number },
      stack([start, ...steps.map((step) => step.latent)]),
      every(wanted),
    );
    // TCD's extra output is the noised guess, which is not among ours.
    if (predictions && className !== 'TCDScheduler') {
      compareTensor(
        { ...common, output: 'pred', tolerance: tolerance['pred'] as number },
        stack(steps.map((step) => step.denoised)),
        every(predictions),
      );
    }
  });
}

interface SpacingRow {
  readonly class: string;
  readonly spacing: 'leading' | 'linspace' | 'trailing';
  readonly steps_offset: number;
  readonly n: number;
  readonly timesteps: readonly number[];
  readonly sigmas?: readonly number[];
  readonly init_noise_sigma: number;
  readonly error?: string;
}
const spacingRows: readonly SpacingRow[] = JSON.parse(
  readFileSync(reference('diffusion/schedules/diffusers.json'), 'utf8'),
);

test('diffusers_spacing: timesteps and sigmas of every class, spacing and offset', () => {
  for (const row of spacingRows) {
    if (row.error) continue; // DPMSolverSinglestep takes no spacing
    const given = { ...base, timestep_spacing: row.spacing, steps_offset: row.steps_offset };
    const { config, schedule } = schedulerOf(row.class, given);
    const label = `${row.class} ${row.spacing} offset ${row.steps_offset} n ${row.n}`;
    let timesteps: readonly number[];
    let sigmas: Float32Array | undefined;
    let wantedTimesteps = row.timesteps;
    let wantedSigmas = row.sigmas;
    if (/^(DDIM|DDPM)/.test(row.class)) timesteps = spacedTimesteps(row.spacing, row.n, 1000, row.steps_offset);
    else if (row.class.startsWith('PNDM'))
      timesteps = pndmPlan(
        spacedTimesteps(row.spacing, row.n, 1000, row.steps_offset).reverse(),
        1000,
        1,
        row.timesteps.length === row.n + 1,
      ).calls.map((call) => call.timestep);
    else if (/^(LCM|TCD)/.test(row.class)) timesteps = lcmTimesteps(row.n, 1000);
    else if (/^(DPM|UniPC|DEIS)/.test(row.class))
      ({ timesteps, sigmas } = solverSigmaTimes(
        config,
        schedule,
        row.n,
        row.class.startsWith('DEIS') ? 'repeat' : 'zero',
      ));
    else {
      ({ timesteps, sigmas } = kSigmaTimes(config, schedule, row.n, { roundKarras: false }));
      if (twoCalls.test(row.class)) {
        wantedTimesteps = wantedTimesteps.filter((_, i) => i % 2 === 0);
        wantedSigmas = Array.from({ length: row.n }, (_, i) => row.sigmas?.[2 * i] as number).concat(0);
      }
    }
    const clipped = wantedTimesteps.map((t) => (/^(DDIM|DDPM|PNDM)/.test(row.class) ? Math.min(t, 999) : t));
    const error =
      timesteps.length === clipped.length
        ? Math.max(...timesteps.map((t, i) => Math.abs(t - (clipped[i] as number))))
        : Number.POSITIVE_INFINITY;
    recordParity({
      part: 'diffusion/schedules',
      case: 'diffusers_spacing',
      output: `${label} timesteps`,
      error,
      tolerance: clipped.every(Number.isInteger) ? 0 : 1e-3,
    });
    if (wantedSigmas && sigmas) {
      const relative = Math.max(
        ...wantedSigmas.map((want, i) => Math.abs((sigmas?.[i] as number) - want) / (want || 1)),
      );
      recordParity({
        part: 'diffusion/schedules',
        case: 'diffusers_spacing',
        output: `${label} sigmas (relative)`,
        error: relative,
        tolerance: 1e-5,
      });
    }
  }
});

/**
 * The reference states 2e-6, which ours does not meet (6.7e-6 for `betas`, at timestep 996; 3.9e-6 for `betas2`). Nor do the original's own
 * lines, run again with PyTorch 2.13: the same differences from the record. Near the end the original subtracts float32 square roots that are almost equal,
 * so that one last digit of a root is as much; which one the recorded run had otherwise was not found.
 */
const zeroSnrTolerance = 1e-5;

test('diffusers_zero_snr: rescale_zero_terminal_snr', () => {
  const stored = readTensors(reference('diffusion/schedules/diffusers_zero_snr.safetensors'));
  for (const name of ['betas', 'betas2']) {
    const betas = expectDType(pick(stored, name), 'float32');
    const got = rescaleZeroTerminalSnr(betas.data);
    const note =
      "stated tolerance 2e-6 is not met; the original's lines run again with PyTorch 2.13 differ from the record by as much";
    compareTensor(
      { part: 'diffusion/schedules', case: 'diffusers_zero_snr', output: name, tolerance: zeroSnrTolerance, note },
      { ...betas, data: got },
      pick(stored, `rescaled_${name}_zero_snr`),
    );
  }
});

test('diffusers: an unknown class or value is refused', () => {
  assert.throws(() => diffusersSampler('FlowMatchEulerDiscreteScheduler'), { code: 'config-invalid' });
  assert.throws(() => diffusersSampler('DDIMScheduler', { beta_schedule: 'nonsense' }), { code: 'config-invalid' });
});
