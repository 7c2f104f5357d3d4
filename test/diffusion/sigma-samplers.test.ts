/**
 * Whole trajectories of the samplers in sigma space, against the recorded runs of k-diffusion, A1111 (Restart) and ComfyUI on the
 * analytic model: the latent at each first model call of a step, the denoised latent there, and the result.
 * Tolerances: four times the difference between the original in float32 and in float64 (index.json, `tolerances`).
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Denoiser, denoiser, type Latent } from '../../src/diffusion/denoiser.ts';
import { noiseScheduleOf, stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../src/diffusion/parameterization.ts';
import type { Sampling } from '../../src/diffusion/sampler.ts';
import { sampleDdpmAncestral } from '../../src/diffusion/samplers/ddpm-ancestral.ts';
import { sampleDpmAdaptive } from '../../src/diffusion/samplers/dpm-adaptive.ts';
import { sampleDpmFast } from '../../src/diffusion/samplers/dpm-fast.ts';
import { sampleDeisSigma } from '../../src/diffusion/samplers/deis.ts';
import { sampleDpm2 } from '../../src/diffusion/samplers/dpm2.ts';
import { sampleDpm2Ancestral } from '../../src/diffusion/samplers/dpm2-ancestral.ts';
import { sampleDpmpp2m } from '../../src/diffusion/samplers/dpmpp-2m.ts';
import { sampleDpmpp2mSde } from '../../src/diffusion/samplers/dpmpp-2m-sde.ts';
import { sampleDpmpp2sAncestral } from '../../src/diffusion/samplers/dpmpp-2s-ancestral.ts';
import { sampleDpmpp3mSde } from '../../src/diffusion/samplers/dpmpp-3m-sde.ts';
import { sampleDpmppSde } from '../../src/diffusion/samplers/dpmpp-sde.ts';
import { sampleEuler } from '../../src/diffusion/samplers/euler.ts';
import { sampleEulerAncestral } from '../../src/diffusion/samplers/euler-ancestral.ts';
import { sampleHeun } from '../../src/diffusion/samplers/heun.ts';
import { sampleLcmSigma } from '../../src/diffusion/samplers/lcm.ts';
import { sampleLms } from '../../src/diffusion/samplers/lms.ts';
import { sampleRestart } from '../../src/diffusion/samplers/restart.ts';
import type { SigmaSampling } from '../../src/diffusion/samplers/sigma-sampler.ts';
import { sampleUniPcSigma } from '../../src/diffusion/samplers/unipc.ts';
import { sigmaSchedule } from '../../src/diffusion/sigma-schedules/index.ts';
import { brownianTreeNoise } from '../../src/random/brownian-tree.ts';
import type { IntervalNoise } from '../../src/random/noise-source.ts';
import { scale } from '../../src/tensor/arithmetic.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { compareTensor, recordParity } from '../parity.ts';
import {
  analyticModel,
  analyticOutput,
  bankNoise,
  entry,
  noiseBank,
  type RecordedCase,
  samplerCases,
  stack,
} from './analytic-model.ts';

const schedule = stableDiffusionSchedule();

const samplers: Readonly<Record<string, SigmaSampling>> = {
  euler: sampleEuler,
  euler_ancestral: sampleEulerAncestral,
  heun: sampleHeun,
  dpm_2: sampleDpm2,
  dpm_2_ancestral: sampleDpm2Ancestral,
  lms: sampleLms,
  dpmpp_2s_ancestral: sampleDpmpp2sAncestral,
  dpmpp_sde: sampleDpmppSde,
  dpmpp_2m: sampleDpmpp2m,
  dpmpp_2m_sde: sampleDpmpp2mSde,
  dpmpp_3m_sde: sampleDpmpp3mSde,
  dpm_fast: sampleDpmFast,
  dpm_adaptive: sampleDpmAdaptive,
  restart: sampleRestart,
  ddpm: sampleDdpmAncestral,
  lcm: sampleLcmSigma,
  deis: sampleDeisSigma,
  uni_pc: sampleUniPcSigma,
  uni_pc_bh2: (denoise, x, sigmas, options) => sampleUniPcSigma(denoise, x, sigmas, { ...options, variant: 'bh2' }),
  dpmpp_2m_sde_heun: (denoise, x, sigmas, options) =>
    sampleDpmpp2mSde(denoise, x, sigmas, { ...options, solverType: 'heun' }),
};

/** Names of the originals' settings. */
const settingNames: Readonly<Record<string, string>> = {
  s_churn: 'sChurn',
  s_tmin: 'sTmin',
  s_tmax: 'sTmax',
  s_noise: 'sNoise',
  eta: 'eta',
  order: 'order',
  rtol: 'rtol',
  atol: 'atol',
  r: 'r',
  solver_type: 'solverType',
};

interface Trajectory {
  readonly x: Latent[];
  readonly denoised: Latent[];
  readonly latents: Latent[];
  readonly result: Latent;
}

interface GuidedDenoiser {
  readonly denoise: Denoiser;
  /** Number of evaluations, each with and without the condition. */
  readonly evaluations: () => number;
}

/** Guidance on the denoised latents, in float32, as A1111's and ComfyUI's CFG; the recorded runs were guided there. With scale 1 only the condition counts. */
function guidedDenoiser(parameterization: Parameterization, guidance: number, quantize: boolean): GuidedDenoiser {
  const denoiserOf = (conditions: (item: number) => number) =>
    denoiser(
      {
        schedule,
        parameterization,
        predict: async (x, t) =>
          analyticOutput(
            schedule,
            parameterization,
            x,
            t,
            Array.from({ length: x.shape[0] as number }, (_, i) => conditions(i)),
          ),
      },
      { quantize },
    );
  const conditional = denoiserOf((item) => item + 1);
  const unconditional = denoiserOf(() => 0);
  let evaluations = 0;
  return {
    evaluations: () => evaluations,
    async denoise(x, sigma) {
      evaluations++;
      const c = await conditional(x, sigma);
      if (guidance === 1) return c;
      const u = await unconditional(x, sigma);
      return {
        ...c,
        data: c.data.map(
          (value, i) => (u.data[i] as number) + Math.fround(guidance * Math.fround(value - (u.data[i] as number))),
        ),
      };
    },
  };
}

/** Runs a sampler, and keeps what it gave the model at the first call of each step. */
async function trace(denoise: Denoiser, run: (denoise: Denoiser) => Sampling): Promise<Trajectory> {
  const x: Latent[] = [];
  const denoised: Latent[] = [];
  const latents: Latent[] = [];
  let newStep = true;
  const sampling = run(async (latent, sigma, signal) => {
    if (newStep) x.push(latent);
    newStep = false;
    return denoise(latent, sigma, signal);
  });
  for (;;) {
    const { done, value } = await sampling.next();
    if (done) return { x, denoised, latents, result: value };
    denoised.push(value.denoised);
    latents.push(value.latent);
    newStep = true;
    assert.equal(value.step, denoised.length);
  }
}

/** The bank's draws, or the recorded increments; keeps what was asked for. */
function recordingNoise(increments?: Tensor): { readonly noise: IntervalNoise; readonly queries: [number, number][] } {
  const bank = bankNoise();
  const queries: [number, number][] = [];
  const noise: IntervalNoise = (sigma, next) => {
    queries.push([sigma, next]);
    return increments ? entry(increments, queries.length - 1) : bank.normal(noiseBank.shape.slice(1));
  };
  return { noise, queries };
}

/** The sampler's name, without the variant of the case. */
function samplerName(id: string): string {
  return id.split('.')[0] as string;
}

function optionsOf(settings: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const options = Object.fromEntries(
    Object.entries(settingNames).flatMap(([theirs, ours]) => (theirs in settings ? [[ours, settings[theirs]]] : [])),
  );
  const restarts = /^\{([\d.]+): \[(\d+), (\d+), ([\d.]+)\]\}$/.exec(String(settings['restart_list'] ?? ''));
  if (restarts) {
    const [minSigma, steps, times, maxSigma] = restarts.slice(1).map(Number);
    options['restarts'] = [{ minSigma, steps, times, maxSigma }];
  }
  return options;
}

/** The draws are for the recorded intervals. A draw whose weight is 0, as the last one of DPM fast's, may be missing at the end. */
function assertQueries({ settings }: RecordedCase, queries: readonly [number, number][]): void {
  const wanted: [number, number][] | undefined = settings.noise_queries;
  if (!wanted) return;
  assert.ok(queries.length <= wanted.length);
  for (const [i, [gotFrom, gotTo]] of queries.entries()) {
    const [from, to] = wanted[i] as [number, number];
    assert.ok(
      Math.abs(gotFrom / from - 1) < 2e-4 && Math.abs(gotTo / to - 1) < 2e-4,
      `draw ${i} is for ${gotFrom} to ${gotTo} and not ${from} to ${to}`,
    );
  }
}

const kDiffusion = samplerCases('k/', 'kdiffusion');
for (const row of kDiffusion.cases) {
  const id = row.id.slice(2);
  const sample = samplers[samplerName(id)];
  if (!sample) continue; // A1111's timestep samplers have tests of their own
  test(`${row.reference?.function} ${row.id}`, async () => {
    const { settings, tolerance } = row;
    const [name, steps] = settings.schedule as [string, number];
    const range = name === 'default' ? {} : { sigmaMin: 0.02916753478348255, sigmaMax: 14.614642143249512 };
    const ranged = 'sigma_min' in settings;
    const count = (settings.n as number | undefined) ?? steps;
    const sigmas = sigmaSchedule(name)(ranged ? count : steps, schedule, range);
    const recordedSigmas = kDiffusion.tensors.get(`${id}.sigmas`);
    if (recordedSigmas && name !== 'default')
      assert.ok(
        sigmas.every((sigma, i) => Math.abs(sigma - (recordedSigmas.data[i] as number)) <= 5e-6 * sigma),
        'sigmas',
      );
    const increments = kDiffusion.tensors.get(`${id}.brownian_increments`);
    const { noise, queries } = recordingNoise(increments);
    const { denoise, evaluations } = guidedDenoiser(settings.prediction, settings.scale, settings.quantize);
    const start = scale(entry(noiseBank, 0), ((recordedSigmas?.data[0] as number | undefined) ?? sigmas[0]) as number);
    const before = start.data.slice();
    const run = await trace(denoise, (traced) =>
      sample(traced, start, (recordedSigmas?.data as Float32Array) ?? sigmas, { ...optionsOf(settings), noise }),
    );
    assert.deepEqual(start.data, before, 'the start is not changed');
    assert.equal(evaluations(), settings.model_evaluations);
    const x = samplerName(id) === 'dpm_adaptive' ? run.latents : run.x;
    const common = {
      part: 'diffusion/samplers',
      case: row.id,
      reference: `${row.reference?.repo} ${row.reference?.function}`,
    };
    compareTensor(
      { ...common, output: 'x', tolerance: tolerance['x'] as number },
      stack([...x, run.result]),
      kDiffusion.tensors.get(`${id}.x`) as Tensor,
    );
    // sample_lcm adds noise to the very tensor that it had given to its callback, so that the recorded ones are the next latents.
    const denoised = id === 'lcm' ? run.latents : run.denoised;
    compareTensor(
      { ...common, output: 'denoised', tolerance: tolerance['denoised'] as number },
      stack(denoised),
      kDiffusion.tensors.get(`${id}.denoised`) as Tensor,
    );
    assertQueries(row, queries);
  });
}

const comfy = samplerCases('comfy/', 'comfy');
for (const row of comfy.cases) {
  const id = row.id.slice(6);
  const sample = samplers[samplerName(id)];
  if (!sample) {
    test(`${row.reference?.function} ${row.id}`, { skip: 'a sampler of ComfyUI that is not implemented' }, () => {});
    recordParity({
      part: 'diffusion/samplers',
      case: row.id,
      output: 'x',
      reference: 'comfyanonymous/ComfyUI',
      error: 0,
      tolerance: 0,
      note: 'skipped: a sampler of ComfyUI that is not implemented',
    });
    continue;
  }
  test(`${row.reference?.function} ${row.id}`, async () => {
    const { settings, tolerance } = row;
    const [name, steps] = settings.schedule as [string, number];
    const sigmas = comfy.tensors.get(`${id}.sigmas`)?.data as Float32Array;
    const ours = sigmaSchedule(name)(steps, schedule);
    assert.ok(
      ours.every((sigma, i) => Math.abs(sigma - (sigmas[i] as number)) <= 2e-5 * sigma),
      'sigmas',
    );
    const { noise, queries } = recordingNoise();
    const { denoise, evaluations } = guidedDenoiser('eps', settings.scale, true);
    const start = scale(entry(noiseBank, 0), Math.sqrt(1 + (sigmas[0] as number) ** 2));
    const run = await trace(denoise, (traced) =>
      sample(traced, start, sigmas, { noise, drawsOnlyUsed: true, endsAtDenoised: true, exactLevels: true }),
    );
    assert.equal(evaluations(), settings.model_evaluations);
    assert.equal(queries.length, settings.noise_draws ?? 0);
    // sample_deis gives its callback the start at every step.
    const x = samplerName(id) === 'deis' ? run.x.map(() => start) : run.x;
    const common = {
      part: 'diffusion/samplers',
      case: row.id,
      reference: `${row.reference?.repo} ${row.reference?.function}`,
    };
    compareTensor(
      { ...common, output: 'x', tolerance: tolerance['x'] as number },
      stack([...x, run.result]),
      comfy.tensors.get(`${id}.x`) as Tensor,
    );
    assertQueries(row, queries);
  });
}

test("DPM++ SDE asks a Brownian path at k-diffusion's own points, to the bit but for a few", async () => {
  let asked = 0;
  let differing = 0;
  for (const row of kDiffusion.cases.filter(({ id, settings }) => id.startsWith('k/dpmpp_sde') && settings.eta !== 0)) {
    const sigmas = kDiffusion.tensors.get(`${row.id.slice(2)}.sigmas`)?.data as Float32Array;
    const { noise, queries } = recordingNoise();
    const { denoise } = guidedDenoiser('eps', 1, false);
    await trace(denoise, (traced) =>
      sampleDpmppSde(traced, entry(noiseBank, 0), sigmas, { noise, r: row.settings.r ?? 1 / 2 }),
    );
    const wanted = row.settings.noise_queries.flat() as number[];
    const got = queries.flat();
    asked += wanted.length;
    differing += wanted.filter((sigma, i) => Math.fround(sigma) !== got[i]).length;
  }
  assert.ok(asked > 100 && differing <= asked * 0.1, `${differing} of ${asked} differ`);
});

for (const row of kDiffusion.cases.filter(({ settings }) => settings?.brownian_seed)) {
  test(`${row.id} with our own Brownian tree in place of the recorded increments`, async () => {
    const id = row.id.slice(2);
    const sigmas = kDiffusion.tensors.get(`${id}.sigmas`)?.data as Float32Array;
    const noise = brownianTreeNoise({
      shape: noiseBank.shape.slice(1),
      sigmaMin: sigmas.at(-2) as number,
      sigmaMax: sigmas[0] as number,
      seed: row.settings.brownian_seed,
    });
    const { denoise } = guidedDenoiser(row.settings.prediction, row.settings.scale, row.settings.quantize);
    const sample = samplers[samplerName(id)] as SigmaSampling;
    const run = await trace(denoise, (traced) =>
      sample(traced, scale(entry(noiseBank, 0), sigmas[0] as number), sigmas, { noise }),
    );
    compareTensor(
      {
        part: 'diffusion/samplers',
        case: row.id,
        output: 'x (our own Brownian tree)',
        reference: 'k-diffusion, torchsde',
        tolerance: row.tolerance['x'] as number,
      },
      stack([...run.x, run.result]),
      kDiffusion.tensors.get(`${id}.x`) as Tensor,
    );
  });
}

test('every sampler: cancelled by its signal, refuses sigmas that are not numbers, and with no steps returns its start', async () => {
  const start = entry(noiseBank, 0);
  const denoise = denoiser(analyticModel(noiseScheduleOf({ linearStart: 0.00085, linearEnd: 0.012 })));
  const { noise } = recordingNoise();
  for (const [name, sample] of Object.entries(samplers)) {
    const controller = new AbortController();
    const sampling = sample(denoise, start, [10, 5, 2, 1, 0.5, 0.2, 0], { noise, signal: controller.signal });
    assert.equal((await sampling.next()).done, false, name);
    controller.abort();
    await assert.rejects(async () => sampling.next(), { code: 'aborted' }, name);
    await assert.rejects(
      async () => sample(denoise, start, [10, Number.NaN, 0], { noise }).next(),
      { code: 'invalid-argument' },
      name,
    );
    await assert.rejects(
      async () => sample(denoise, start, [10, 0, 0], { noise }).next(),
      { code: 'invalid-argument' },
      name,
    );
    const none = await sample(denoise, start, [10], { noise }).next();
    assert.ok(none.done && none.value === start, name);
  }
});

test('DPM adaptive says which steps it accepted, and ends with as many steps as it said', async () => {
  const denoise = denoiser(analyticModel(schedule, 'eps', 3));
  const sampling = sampleDpmAdaptive(denoise, scale(entry(noiseBank, 0), 14.6), [14.6, 0.03, 0]);
  let last: Awaited<ReturnType<typeof sampling.next>>['value'] | undefined;
  let rejected = 0;
  for await (const step of sampling) {
    if (!step.accepted) rejected++;
    last = step;
  }
  assert.ok(
    last &&
      'step' in last &&
      last.step === last.steps &&
      last.acceptedSteps + last.rejectedSteps === last.step &&
      last.rejectedSteps === rejected,
  );
  const broken: Denoiser = async (x) => scale(x, Number.NaN);
  await assert.rejects(async () => sampleDpmAdaptive(broken, entry(noiseBank, 0), [10, 1, 0]).next(), {
    code: 'not-finite',
  });
  await assert.rejects(async () => sampleDpmAdaptive(denoise, entry(noiseBank, 0), [10, 1, 0], { order: 4 }).next(), {
    code: 'invalid-argument',
  });
});

test('settings that cannot be', async () => {
  const { noise } = recordingNoise();
  const start = entry(noiseBank, 0);
  const { denoise } = guidedDenoiser('eps', 1, false);
  await assert.rejects(async () => sampleDpmppSde(denoise, start, [10, 1, 0], { noise, r: 0 }).next(), {
    code: 'invalid-argument',
  });
  await assert.rejects(
    async () => sampleDpmpp2mSde(denoise, start, [10, 1, 0], { noise, solverType: 'huen' as 'heun' }).next(),
    { code: 'invalid-argument' },
  );
  await assert.rejects(async () => sampleLms(denoise, start, [10, 1, 0], { order: 0 }).next(), {
    code: 'invalid-argument',
  });
});

test('noise that is needed and not given is an error', async () => {
  const start = entry(noiseBank, 0);
  await assert.rejects(
    async () => sampleEuler(denoiser(analyticModel(schedule)), start, [10, 1, 0], { sChurn: 1 }).next(),
    { code: 'invalid-argument' },
  );
});
