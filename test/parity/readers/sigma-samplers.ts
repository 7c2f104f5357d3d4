/** Samplers in sigma space of k-diffusion, A1111 (Restart, LCM) and ComfyUI on the analytic model: the latent at the first call of each step, the denoised latents, the result. */

import { join } from 'node:path';
import {
  sampleDpmpp2mCfgPp,
  sampleDpmpp2sAncestralCfgPp,
  sampleEulerAncestralCfgPp,
  sampleEulerCfgPp,
} from '../../../src/diffusion/samplers/cfg-pp.ts';
import { sampleErSde } from '../../../src/diffusion/samplers/er-sde.ts';
import {
  sampleGradientEstimation,
  sampleGradientEstimationCfgPp,
} from '../../../src/diffusion/samplers/gradient-estimation.ts';
import { sampleHeunpp2 } from '../../../src/diffusion/samplers/heunpp2.ts';
import { sampleIpndm, sampleIpndmV } from '../../../src/diffusion/samplers/ipndm.ts';
import {
  sampleResMultistep,
  sampleResMultistepAncestral,
  sampleResMultistepAncestralCfgPp,
  sampleResMultistepCfgPp,
} from '../../../src/diffusion/samplers/res-multistep.ts';
import { sampleSaSolver, sampleSaSolverPece } from '../../../src/diffusion/samplers/sa-solver.ts';
import {
  sampleExpHeun2X0,
  sampleExpHeun2X0Sde,
  sampleSeeds2,
  sampleSeeds3,
} from '../../../src/diffusion/samplers/seeds.ts';
import { sampleDdpmAncestral } from '../../../src/diffusion/samplers/ddpm-ancestral.ts';
import { sampleDeisSigma } from '../../../src/diffusion/samplers/deis.ts';
import { sampleDpm2 } from '../../../src/diffusion/samplers/dpm2.ts';
import { sampleDpm2Ancestral } from '../../../src/diffusion/samplers/dpm2-ancestral.ts';
import { sampleDpmAdaptive } from '../../../src/diffusion/samplers/dpm-adaptive.ts';
import { sampleDpmFast } from '../../../src/diffusion/samplers/dpm-fast.ts';
import { sampleDpmpp2m } from '../../../src/diffusion/samplers/dpmpp-2m.ts';
import { sampleDpmpp2mSde } from '../../../src/diffusion/samplers/dpmpp-2m-sde.ts';
import { sampleDpmpp2sAncestral } from '../../../src/diffusion/samplers/dpmpp-2s-ancestral.ts';
import { sampleDpmpp3mSde } from '../../../src/diffusion/samplers/dpmpp-3m-sde.ts';
import { sampleDpmppSde } from '../../../src/diffusion/samplers/dpmpp-sde.ts';
import { sampleEuler } from '../../../src/diffusion/samplers/euler.ts';
import { sampleEulerAncestral } from '../../../src/diffusion/samplers/euler-ancestral.ts';
import { sampleHeun } from '../../../src/diffusion/samplers/heun.ts';
import { findSampler } from '../../../src/diffusion/samplers/index.ts';
import { sampleLcmSigma } from '../../../src/diffusion/samplers/lcm.ts';
import { sampleLms } from '../../../src/diffusion/samplers/lms.ts';
import { sampleRestart } from '../../../src/diffusion/samplers/restart.ts';
import type { SigmaSampling } from '../../../src/diffusion/samplers/sigma-sampler.ts';
import { sampleUniPcSigma } from '../../../src/diffusion/samplers/unipc.ts';
import { sigmaSchedule } from '../../../src/diffusion/sigma-schedules/index.ts';
import { stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { brownianTreeNoise } from '../../../src/random/brownian-tree.ts';
import { scale } from '../../../src/tensor/arithmetic.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { type AnalyticSet, analyticSet, entry, stack } from '../analytic-model.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { kept } from '../kept.ts';
import { type IndexRow, originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';
import { guidedDenoiser, recordingNoise, traceSampler } from '../sigma-trajectory.ts';

const sets = kept(analyticSet);
const tensorsAt = kept(readTensors);
const schedule = stableDiffusionSchedule();

/** Our samplers by the last word of the original's function. */
export const sigmaSamplers: Readonly<Record<string, SigmaSampling>> = {
  sample_euler: sampleEuler,
  sample_euler_ancestral: sampleEulerAncestral,
  sample_heun: sampleHeun,
  sample_dpm_2: sampleDpm2,
  sample_dpm_2_ancestral: sampleDpm2Ancestral,
  sample_lms: sampleLms,
  sample_dpmpp_2s_ancestral: sampleDpmpp2sAncestral,
  sample_dpmpp_sde: sampleDpmppSde,
  sample_dpmpp_2m: sampleDpmpp2m,
  sample_dpmpp_2m_sde: sampleDpmpp2mSde,
  sample_dpmpp_3m_sde: sampleDpmpp3mSde,
  sample_dpm_fast: sampleDpmFast,
  sample_dpm_adaptive: sampleDpmAdaptive,
  restart_sampler: sampleRestart,
  sample_ddpm: sampleDdpmAncestral,
  sample_lcm: sampleLcmSigma,
  sample_deis: sampleDeisSigma,
  sample_heunpp2: sampleHeunpp2,
  sample_ipndm: sampleIpndm,
  sample_ipndm_v: sampleIpndmV,
  sample_res_multistep: sampleResMultistep,
  sample_res_multistep_cfg_pp: sampleResMultistepCfgPp,
  sample_res_multistep_ancestral: sampleResMultistepAncestral,
  sample_res_multistep_ancestral_cfg_pp: sampleResMultistepAncestralCfgPp,
  sample_gradient_estimation: sampleGradientEstimation,
  sample_gradient_estimation_cfg_pp: sampleGradientEstimationCfgPp,
  sample_er_sde: sampleErSde,
  sample_seeds_2: sampleSeeds2,
  sample_seeds_3: sampleSeeds3,
  sample_exp_heun_2_x0: sampleExpHeun2X0,
  sample_exp_heun_2_x0_sde: sampleExpHeun2X0Sde,
  sample_sa_solver: sampleSaSolver,
  sample_sa_solver_pece: sampleSaSolverPece,
  sample_euler_cfg_pp: sampleEulerCfgPp,
  sample_euler_ancestral_cfg_pp: sampleEulerAncestralCfgPp,
  sample_dpmpp_2s_ancestral_cfg_pp: sampleDpmpp2sAncestralCfgPp,
  sample_dpmpp_2m_cfg_pp: sampleDpmpp2mCfgPp,
  sample_unipc: sampleUniPcSigma,
  sample_unipc_bh2: (denoise, x, sigmas, options) =>
    sampleUniPcSigma(denoise, x, sigmas, { ...options, variant: 'bh2' }),
  sample_dpmpp_2m_sde_heun: (denoise, x, sigmas, options) =>
    sampleDpmpp2mSde(denoise, x, sigmas, { ...options, solverType: 'heun' }),
};

const functionOf = (row: IndexRow): string => /\.(\w+)$/.exec(originalOf(row))?.[1] ?? '';
const ofComfy = (row: IndexRow): boolean => /ComfyUI/.test(originalOf(row));

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'samplers' && row['skipped'] === undefined && functionOf(row) in sigmaSamplers,
  compare: collecting((recorded, compare) =>
    ofComfy(recorded.row) ? compareComfy(recorded, compare) : compareKDiffusion(recorded, compare),
  ),
};

interface Context {
  readonly id: string;
  readonly sample: SigmaSampling;
  readonly settings: Recorded;
  readonly tolerance: Recorded;
  readonly tensors: Tensors;
  readonly analytic: AnalyticSet;
}

/** Case `k/NAME` is NAME in kdiffusion.safetensors, `comfy/NAME` in comfy.safetensors (parts of the index). */
function context(recorded: RecordedCase): Context {
  const { row, setFolder } = recorded;
  return {
    id: recorded.name.slice(recorded.name.indexOf('/') + 1),
    sample: sigmaSamplers[functionOf(row)] as SigmaSampling,
    settings: settingsOf(recorded),
    tolerance: row['tolerance'],
    tensors: tensorsAt(join(setFolder, `samplers/${ofComfy(row) ? 'comfy' : 'kdiffusion'}.safetensors`)),
    analytic: sets(setFolder),
  };
}

async function compareKDiffusion(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { id, sample, settings, tolerance, tensors, analytic } = context(recorded);
  const [name, steps] = settings.schedule as [string, number];
  const range = name === 'default' ? {} : { sigmaMin: 0.02916753478348255, sigmaMax: 14.614642143249512 };
  const count = 'sigma_min' in settings ? (settings.n ?? steps) : steps;
  const ours = sigmaSchedule(name)(count, schedule, range);
  const recordedSigmas = tensors.get(`${id}.sigmas`)?.data as Float32Array | undefined;
  const sigmas = recordedSigmas ?? ours;
  if (recordedSigmas && name !== 'default') compareSigmas(compare, ours, recordedSigmas, 5e-6);
  const { noise, queries } = recordingNoise(analytic, tensors.get(`${id}.brownian_increments`));
  const { denoise, evaluations } = guidedDenoiser(analytic, settings.prediction, settings.scale, settings.quantize);
  const start = scale(entry(analytic.noiseBank, 0), sigmas[0] as number);
  const before = start.data.slice();
  const run = await traceSampler(denoise, (traced) => sample(traced, start, sigmas, { ...optionsOf(settings), noise }));
  compare.exact('the start is not changed', Array.from(start.data), Array.from(before));
  compare.exact('model evaluations', evaluations(), settings.model_evaluations);
  // The adaptive sampler's callback is given the latent after the step.
  const x = functionOf(recorded.row) === 'sample_dpm_adaptive' ? run.latents : run.x;
  compare.tensor('x', stack([...x, run.result]), pick(tensors, `${id}.x`), tolerance.x);
  // sample_lcm adds noise to the very tensor that it had given to its callback, so that the recorded ones are the next latents.
  const denoised = functionOf(recorded.row) === 'sample_lcm' ? run.latents : run.denoised;
  compare.tensor('denoised', stack(denoised), pick(tensors, `${id}.denoised`), tolerance.denoised);
  compareQueries(compare, settings, queries);
  if (settings.brownian_seed) {
    const own = brownianTreeNoise({
      shape: analytic.noiseBank.shape.slice(1),
      sigmaMin: sigmas.at(-2) as number,
      sigmaMax: sigmas[0] as number,
      seed: settings.brownian_seed,
    });
    const again = await traceSampler(denoise, (traced) => sample(traced, start, sigmas, { noise: own }));
    const all = stack([...again.x, again.result]);
    compare.tensor('x (our own Brownian tree)', all, pick(tensors, `${id}.x`), tolerance.x);
  }
}

async function compareComfy(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { id, sample, settings, tolerance, tensors, analytic } = context(recorded);
  const [name, steps] = settings.schedule as [string, number];
  const sigmas = pick(tensors, `${id}.sigmas`).data as Float32Array;
  compareSigmas(compare, sigmaSchedule(name)(steps, schedule), sigmas, 2e-5);
  const { noise, queries } = recordingNoise(analytic);
  const { denoise, evaluations } = guidedDenoiser(analytic, 'eps', settings.scale, true);
  const start = scale(entry(analytic.noiseBank, 0), Math.sqrt(1 + (sigmas[0] as number) ** 2));
  const run = await traceSampler(denoise, (traced) =>
    sample(traced, start, sigmas, { noise, drawsOnlyUsed: true, endsAtDenoised: true, exactLevels: true }),
  );
  compare.exact('model evaluations', evaluations(), settings.model_evaluations);
  // What a deterministic sampler of ComfyUI draws has the weight 0.
  const { usesStepNoise } = findSampler(functionOf(recorded.row));
  compare.exact('draws', queries.length, usesStepNoise ? (settings.noise_draws ?? 0) : 0);
  // These give their callback the start at every step.
  const givesStart = /^sample_(deis|ipndm|ipndm_v)$/.test(functionOf(recorded.row));
  const x = givesStart ? run.x.map(() => start) : run.x;
  compare.tensor('x', stack([...x, run.result]), pick(tensors, `${id}.x`), tolerance.x);
  compareQueries(compare, settings, queries);
}

function compareSigmas(compare: Comparisons, got: ArrayLike<number>, want: Float32Array, relative: number): void {
  const errors = Array.from(got, (sigma, i) => Math.abs(sigma - (want[i] as number)) / (sigma || 1));
  compare.error('sigmas (relative)', Math.max(...errors), relative);
}

/** The draws are for the recorded intervals. A draw whose weight is 0, as the last one of DPM fast's, may be missing at the end. */
function compareQueries(compare: Comparisons, settings: Recorded, queries: readonly [number, number][]): void {
  const wanted: readonly [number, number][] | undefined = settings.noise_queries;
  if (!wanted) return;
  const errors = queries.flat().map((got, i) => Math.abs(got / (wanted.flat()[i] ?? Number.NaN) - 1));
  const largest = Math.max(0, ...errors);
  compare.error('intervals of the draws (relative)', Number.isNaN(largest) ? Number.POSITIVE_INFINITY : largest, 2e-4);
}

/** Our options by the originals' names. */
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

function optionsOf(settings: Recorded): Record<string, unknown> {
  const options = Object.fromEntries(
    Object.entries(settingNames).flatMap(([theirs, ours]) => (theirs in settings ? [[ours, settings[theirs]]] : [])),
  );
  const restarts = [...String(settings.restart_list ?? '').matchAll(/([\d.]+): \[(\d+), (\d+), ([\d.]+)\]/g)];
  if (restarts.length === 0) return options;
  return {
    ...options,
    restarts: restarts.map((match) => {
      const [minSigma, steps, times, maxSigma] = match.slice(1).map(Number);
      return { minSigma, steps, times, maxSigma };
    }),
  };
}
