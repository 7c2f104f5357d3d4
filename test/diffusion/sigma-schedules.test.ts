/** Every schedule of k-diffusion, A1111 and ComfyUI at the Stable Diffusion v1 range, against the recorded values. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { StableDiffusionError } from '../../src/errors.ts';
import { noiseScheduleOf, stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import { ancestralStep } from '../../src/diffusion/samplers/ancestral-step.ts';
import { betaQuantile } from '../../src/diffusion/sigma-schedules/beta-distribution.ts';
import {
  findSigmaSchedule,
  type SigmaScheduleName,
  sigmaSchedule,
  sigmaSchedules,
} from '../../src/diffusion/sigma-schedules/index.ts';
import { allSigmas } from '../../src/diffusion/sigma-schedules/normal.ts';
import { percentToSigma } from '../../src/diffusion/sigma-schedules/percent-to-sigma.ts';
import type { SigmaScheduleOptions } from '../../src/diffusion/sigma-schedules/sigma-schedule.ts';
import { zeroTerminalSnr } from '../../src/diffusion/sigma-schedules/zero-terminal-snr.ts';
import { type ParityRow, recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const model = stableDiffusionSchedule();
const counts = [1, 2, 5, 10, 20, 37];

/** The largest difference, each divided by how much larger than `abs` the relative tolerance allows it to be. */
function scaledError(got: ArrayLike<number>, want: ArrayLike<number>, abs: number, rel: number): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < want.length; i++) {
    const value = want[i] as number;
    const difference =
      Math.abs((got[i] as number) - value) * (rel * Math.abs(value) > abs ? abs / (rel * Math.abs(value)) : 1);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return largest;
}

function reader(file: string, abs: number, rel: number, row: Pick<ParityRow, 'case' | 'reference'>) {
  const tensors = readTensors(reference(`diffusion/schedules/${file}`));
  const compared = new Set<string>();
  return {
    values: (name: string) => pick(tensors, name).data as Float32Array,
    compare(name: string, got: ArrayLike<number>, tolerance = abs, relative = rel, note?: string): void {
      compared.add(name);
      const error = scaledError(got, pick(tensors, name).data as Float32Array, tolerance, relative);
      recordParity({ part: 'diffusion/schedules', ...row, output: name, error, tolerance, ...(note && { note }) });
    },
    left: () => [...tensors.keys()].filter((name) => !compared.has(name)),
    seen(...names: string[]): void {
      for (const name of names) compared.add(name);
    },
  };
}

test('k-diffusion: the discrete schedule and its formulas', () => {
  const { compare, values, left, seen } = reader('kdiffusion.safetensors', 5e-5, 5e-6, {
    case: 'kdiffusion_sigmas',
    reference: 'k-diffusion',
  });
  const ranges: Record<string, SigmaScheduleOptions> = {
    sd: { sigmaMin: 0.02916753478348255, sigmaMax: 14.614642143249512 },
    other: { sigmaMin: 0.1, sigmaMax: 10 },
  };
  compare('sigmas', model.sigmas);
  compare('log_sigmas', model.logSigmas);
  compare('get_sigmas.None', allSigmas(model));
  for (const n of counts) {
    compare(`get_sigmas.${n}`, sigmaSchedules.normal(n, model));
    for (const [range, options] of Object.entries(ranges)) {
      compare(`exponential.${range}.${n}`, sigmaSchedules.exponential(n, model, options));
      for (const rho of [5, 7])
        compare(`karras.${range}.rho${rho}.${n}`, sigmaSchedules.karras(n, model, { ...options, rho }));
      for (const rho of [1, 2])
        compare(
          `polyexponential.${range}.rho${rho}.${n}`,
          sigmaSchedules.polyexponential(n, model, { ...options, rho }),
        );
    }
    compare(`vp.${n}`, sigmaSchedules.vp(n, model));
    compare(`vp.other.${n}`, sigmaSchedules.vp(n, model, vpOther));
  }
  seen('sigma', 't');
  compare(
    't_to_sigma',
    values('t').map((t) => model.sigmaOfTimestep(t)),
    1e-12,
    5e-6,
  );
  compare(
    'sigma_to_t',
    values('sigma').map((sigma) => model.timestepOfSigma(sigma)),
    0.02,
    0,
  );
  compare(
    'sigma_to_t_quantized',
    values('sigma').map((sigma) => model.timestepOfSigma(sigma, true)),
    0,
    0,
  );
  assert.deepEqual(left(), []);
});

const vpOther: SigmaScheduleOptions = { betaD: 15, betaMin: 0.2, epsS: 0.002 };

test('A1111: every scheduler', () => {
  const { compare, left } = reader('a1111.safetensors', 2e-4, 2e-5, { case: 'a1111_schedulers', reference: 'A1111' });
  const range = { sigmaMin: 0.02916753478348255, sigmaMax: 14.614642143249512 };
  const names: Record<string, SigmaScheduleName> = {
    uniform: 'normal',
    normal: 'normal',
    karras: 'karras',
    exponential: 'exponential',
    polyexponential: 'polyexponential',
    sgm_uniform: 'sgm_uniform',
    normal_sgm: 'sgm_uniform',
    kl_optimal: 'kl_optimal_to_min',
    align_your_steps: 'align_your_steps',
    align_your_steps_sdxl: 'align_your_steps_xl',
    simple: 'simple',
    ddim: 'ddim_uniform',
    beta: 'beta_continuous',
  };
  for (const [name, ours] of Object.entries(names))
    for (const n of counts) compare(`${name}.${n}`, sigmaSchedules[ours](n, model, range));
  assert.deepEqual(left(), []);
});

test('ComfyUI: every scheduler, the way between sigma and timestep, zero terminal SNR, SD-Turbo', () => {
  const { compare, values, left, seen } = reader('comfy.safetensors', 2e-4, 2e-5, {
    case: 'comfy_schedulers',
    reference: 'ComfyUI',
  });
  const kDiffusion = readTensors(reference('diffusion/schedules/kdiffusion.safetensors'));
  const names = [
    'simple',
    'sgm_uniform',
    'karras',
    'exponential',
    'ddim_uniform',
    'beta',
    'normal',
    'linear_quadratic',
    'kl_optimal',
  ] as const;
  for (const name of names)
    for (const n of counts)
      if (`${name}.${n}` !== 'kl_optimal.1') compare(`${name}.${n}`, sigmaSchedules[name](n, model));
  // ComfyUI divides 0 by 0 here; a run would be of NaN only. We start at the highest level, as its other schedules of one step do.
  assert.ok(Number.isNaN(values('kl_optimal.1')[0]));
  const [first = 0, last] = sigmaSchedules.kl_optimal(1, model);
  assert.ok(Math.abs(first - (model.sigmas[999] as number)) < 1e-4 && last === 0);
  recordParity({
    part: 'diffusion/schedules',
    case: 'comfy_schedulers',
    output: 'kl_optimal.1',
    reference: 'ComfyUI',
    error: 0,
    tolerance: 0,
    note: 'differs on purpose: ComfyUI gives [NaN, 0], we give [sigma_max, 0]',
  });
  seen('kl_optimal.1');
  compare('sigmas', model.sigmas);
  compare('zsnr.sigmas', zeroTerminalSnr(model).sigmas);
  compare('turbo.1.denoise1', sigmaSchedules.turbo(1, model));
  compare('turbo.4.denoise1', sigmaSchedules.turbo(4, model));
  compare('turbo.4.denoise0.6', sigmaSchedules.turbo(4, model, { denoise: 0.6 }));
  compare(
    'percent_to_sigma',
    [0, 0.1, 0.37, 0.5, 0.9, 1].map((percent) => percentToSigma(model, percent)),
  );
  compare(
    'timestep',
    (pick(kDiffusion, 'sigma').data as Float32Array).map((sigma) => model.timestepOfSigma(sigma, true)),
    0,
    0,
  );
  compare(
    'sigma_of_t',
    (pick(kDiffusion, 't').data as Float32Array).map((t) => model.sigmaOfTimestep(t)),
  );
  assert.deepEqual(left(), []);
});

test("levels are the same to the bit as k-diffusion's, but for the last bit of a few powers and logarithms", () => {
  const tensors = readTensors(reference('diffusion/schedules/kdiffusion.safetensors'));
  const range = { sigmaMin: 0.02916753478348255, sigmaMax: 14.614642143249512 };
  for (const name of ['karras.sd.rho7', 'exponential.sd', 'polyexponential.sd.rho1'] as const) {
    const schedule = sigmaSchedule(name.split('.')[0] as string);
    const differing = counts.flatMap((n) =>
      [...schedule(n, model, range)].filter((sigma, i) => sigma !== pick(tensors, `${name}.${n}`).data[i]),
    );
    assert.ok(differing.length <= 4, `${name}: ${differing.length} of ${counts.reduce((sum, n) => sum + n, 0)} differ`);
  }
});

test('get_ancestral_step', () => {
  const index = JSON.parse(readFileSync(reference('diffusion/index.json'), 'utf8')) as {
    cases: { id: string; settings: { ancestral: [number, number, number, [number, number]][] } }[];
  };
  const rows = index.cases.find(({ id }) => id === 'kdiffusion_sigmas')?.settings.ancestral ?? [];
  assert.equal(rows.length, 7);
  for (const [from, to, eta, [down, up]] of rows) {
    const step = ancestralStep(from, to, eta, (value) => value);
    const error = Math.max(Math.abs(step.down - down), Math.abs(step.up - up));
    recordParity({
      part: 'diffusion/schedules',
      case: 'kdiffusion_sigmas',
      output: `ancestral ${from} ${to} ${eta}`,
      reference: 'k-diffusion',
      error,
      tolerance: 1e-12,
    });
  }
});

test('beta quantiles agree with scipy.stats.beta.ppf 1.17', () => {
  const rows: [number, number, number, number][] = [
    [0, 0.6, 0.6, 0.0],
    [0.001, 0.6, 0.6, 1.855873851745199e-5],
    [0.05, 0.6, 0.6, 0.012554456873611399],
    [0.3, 0.6, 0.6, 0.23401700387523572],
    [0.5, 0.6, 0.6, 0.5000000000000001],
    [0.77, 0.6, 0.6, 0.8461624142323502],
    [0.999, 0.6, 0.6, 0.9999814412614826],
    [1, 0.6, 0.6, 1.0],
    [0, 0.5, 0.5, 0.0],
    [0.001, 0.5, 0.5, 2.4673990709169446e-6],
    [0.05, 0.5, 0.5, 0.0061558297024311365],
    [0.3, 0.5, 0.5, 0.2061073738537634],
    [0.5, 0.5, 0.5, 0.4999999999999999],
    [0.77, 0.5, 0.5, 0.8750555348152299],
    [0.999, 0.5, 0.5, 0.999997532600929],
    [1, 0.5, 0.5, 1.0],
    [0, 1, 1, 0.0],
    [0.001, 1, 1, 0.001],
    [0.05, 1, 1, 0.05],
    [0.3, 1, 1, 0.3],
    [0.5, 1, 1, 0.5],
    [0.77, 1, 1, 0.77],
    [0.999, 1, 1, 0.999],
    [1, 1, 1, 1.0],
    [0, 2, 5, 0.0],
    [0.001, 2, 5, 0.008255492787746678],
    [0.05, 2, 5, 0.06284989170835438],
    [0.3, 2, 5, 0.18180347131894917],
    [0.5, 2, 5, 0.26444998329566005],
    [0.77, 2, 5, 0.402118402610099],
    [0.999, 2, 5, 0.818613866919134],
    [1, 2, 5, 1.0],
    [0, 0.3, 1.7, 0.0],
    [0.001, 0.3, 1.7, 5.0664653422119e-11],
    [0.05, 0.3, 1.7, 2.333156550097498e-5],
    [0.3, 0.3, 1.7, 0.009203040899900178],
    [0.5, 0.3, 1.7, 0.051697104839436736],
    [0.77, 0.3, 1.7, 0.24301655200524466],
    [0.999, 0.3, 1.7, 0.9581663118887047],
    [1, 0.3, 1.7, 1.0],
    [0, 8, 3, 0.0],
    [0.001, 8, 3, 0.2815433819575835],
    [0.05, 8, 3, 0.4930986989367976],
    [0.3, 8, 3, 0.6670331181049526],
    [0.5, 8, 3, 0.7414252767150369],
    [0.77, 8, 3, 0.831466674178452],
    [0.999, 8, 3, 0.9789620286790132],
    [1, 8, 3, 1.0],
  ];
  for (const [p, a, b, x] of rows)
    assert.ok(Math.abs(betaQuantile(p, a, b) - x) < 1e-13, `${p} ${a} ${b}: ${betaQuantile(p, a, b)} and not ${x}`);
});

test('a model of another length, and every schedule for many steps', () => {
  const short = noiseScheduleOf({ timesteps: 40, linearStart: 0.001, linearEnd: 0.2 });
  for (const [name, schedule] of Object.entries(sigmaSchedules)) {
    if (name === 'turbo') continue;
    for (const n of [1, 2, 3, 39, 40, 41, 150]) {
      const sigmas = schedule(n, short);
      assert.ok(sigmas.every(Number.isFinite), `${name} ${n}`);
      assert.ok(
        sigmas.slice(1).every((sigma, i) => sigma <= (sigmas[i] as number)),
        `${name} ${n} descends`,
      );
    }
  }
});

test('names and errors', () => {
  assert.equal(findSigmaSchedule('SGM Uniform'), 'sgm_uniform');
  assert.equal(findSigmaSchedule('SGMUniform'), 'sgm_uniform');
  assert.equal(sigmaSchedule('default'), sigmaSchedules.normal);
  assert.equal(findSigmaSchedule('none'), undefined);
  assert.throws(
    () => sigmaSchedule('karas'),
    (error: StableDiffusionError) => error.code === 'invalid-argument' && error.message.includes('karras'),
  );
  for (const steps of [0, -1, 1.5, Number.NaN])
    assert.throws(() => sigmaSchedules.karras(steps, model), { code: 'invalid-argument' });
});
