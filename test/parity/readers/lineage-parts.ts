/** Small parts of the lineage: aesthetic heads, continuous schedules of DPM-Solver, options of CompVis's DDIM. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DiffusionModel, Latent } from '../../../src/diffusion/denoiser.ts';
import { guide } from '../../../src/diffusion/guidance.ts';
import { keepAtTimestep, qSample } from '../../../src/diffusion/inpainting.ts';
import { type NoiseSchedule, noiseSchedule, noiseScheduleOf } from '../../../src/diffusion/noise-schedule.ts';
import { type DdimOptions, sampleDdim } from '../../../src/diffusion/samplers/ddim.ts';
import { type ContinuousTime, continuousTime } from '../../../src/diffusion/solver-time.ts';
import { type DdimStep, ddimSteps, ddimTimesteps } from '../../../src/diffusion/timesteps.ts';
import { vpTime } from '../../../src/diffusion/vp-schedules.ts';
import { aestheticHead, normalisedRows } from '../../../src/evaluation/aesthetic.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick } from '../../tensors.ts';
import { fittedArguments } from '../fitted.ts';
import type { LineageCase } from '../lineage-case.ts';
import type { Comparison } from '../reader.ts';
import { lineageReader } from '../lineage-reader.ts';

type Compare = (recorded: LineageCase) => AsyncIterable<Comparison>;

const aesthetic: Compare = async function* (recorded) {
  const features = recorded.input('features');
  yield recorded.compare('normalized', normalisedRows(features));
  const second = await aestheticHead(recorded.weights('v2', 'v2.safetensors'));
  for (const [i, value] of second.layers(features).entries()) yield recorded.compare(`v2.layer${i}`, value);
  const scores = (values: Float32Array): Tensor => float32([values.length], values);
  yield recorded.compare('v2.score', scores(second.score(features)));
  for (const [name, file] of [
    ['l14', 'v1_l14'],
    ['b32', 'v1_b32'],
  ] as const) {
    if (!existsSync(join(recorded.folder, `${file}.safetensors`))) continue;
    const first = await aestheticHead(recorded.weights(file, `${file}.safetensors`));
    const own = name === 'b32' ? recorded.input('features_512') : features;
    yield recorded.compare(`v1.${name}.score`, scores(first.score(own)));
  }
};

const dpmSchedules: Compare = async function* (recorded) {
  const t = Array.from(recorded.input('t').data);
  const discrete = continuousTime(noiseSchedule(recorded.input('alphas_cumprod').data));
  // "inverse_lambda at 0.9 lambda + 0.05, spacings of 7 steps from T to 1e-3"
  const [, slope, offset, count, least] =
    /inverse_lambda at (\S+) lambda \+ (\S+), spacings of (\d+) steps from T to (\S+)/.exec(recorded.row.exercises) ??
    [];
  if (!least) throw new Error('the spacings are not stated');
  for (const name of Object.keys(recorded.settings.T)) {
    const other = recorded.settings[name];
    const kind = name.startsWith('cosine') ? 'cosine' : 'linear';
    const time: ContinuousTime = name.startsWith('discrete')
      ? discrete
      : vpTime(kind, { betaLow: other?.continuous_beta_0, betaHigh: other?.continuous_beta_1 });
    const end = recorded.settings.T[name];
    const at = t.map((value) => time.at(value));
    const values = (list: readonly number[]): Tensor => float32([list.length], [...list]);
    const lambdas = at.map(({ alpha, sigma }) => Math.log(alpha) - Math.log(sigma));
    const made: Readonly<Record<string, Tensor>> = {
      log_alpha: values(at.map(({ alpha }) => Math.log(alpha))),
      alpha: values(at.map(({ alpha }) => alpha)),
      sigma: values(at.map(({ sigma }) => sigma)),
      lambda: values(lambdas),
      inverse_lambda: values(
        lambdas.map((lambda) => time.ofHalfLogSnr(Math.fround(Number(slope) * lambda + Number(offset)))),
      ),
      ...Object.fromEntries(
        (['logSNR', 'time_uniform', 'time_quadratic'] as const).map((spacing) => [
          `steps.${spacing}`,
          values(time.spread(spacing, Number(count), end, Number(least))),
        ]),
      ),
    };
    for (const output of recorded.outputs.keys())
      if (output.startsWith(`${name}.`)) yield recorded.compare(output, made[output.slice(name.length + 1)]);
  }
};

interface DdimRun {
  readonly x: Latent;
  readonly states: readonly Latent[];
  readonly guesses: readonly Latent[];
}

const ddimOptions: Compare = async function* (recorded) {
  const { settings } = recorded;
  const {
    T,
    linear_start,
    linear_end,
    steps: count,
    eta,
    corrector_strength,
    guidance,
    noise_dropout,
  } = recorded.settings;
  const schedule = noiseScheduleOf({ timesteps: T, linearStart: linear_start, linearEnd: linear_end });
  const w = await recorded.weights().read('w');
  // "cond[b,o] (0.5 + t / T)" and "(0.4 - x)"
  const notes = recorded.row.notes.join('\n');
  const offset = Number(/\((\S+) \+ t \/ T\)/.exec(notes)?.[1]);
  const centre = Number(/\((\S+) - x\)/.exec(notes)?.[1]);
  const network = (x: Latent, t: number, condition: Tensor): Latent => {
    const [items = 0, c = 0, h = 0, wd = 0] = x.shape;
    const plane = h * wd;
    return {
      ...x,
      data: Float32Array.from(x.data, (_, at) => {
        const [b, o, i] = [Math.floor(at / (c * plane)), Math.floor(at / plane) % c, at % plane];
        let sum = Number(condition.data[(b % items) * c + o]) * (offset + t / T);
        for (let k = 0; k < c; k++) sum += Number(w.data[o * c + k]) * (x.data[(b * c + k) * plane + i] as number);
        return sum;
      }),
    };
  };
  const [cond, uncond] = [recorded.tensor('cond'), recorded.tensor('uncond')];
  const plain: DiffusionModel = { schedule, parameterization: 'eps', predict: async (x, t) => network(x, t, cond) };
  const guidedBy = (scale: number): DiffusionModel => ({
    ...plain,
    predict: async (x, t) => guide(network(x, t, uncond), network(x, t, cond), scale),
  });
  const guided = guidedBy(guidance);
  const timesteps = ddimTimesteps('uniform', count, T);
  yield recorded.compare('ddim_timesteps', {
    dtype: 'int64',
    shape: [timesteps.length],
    data: BigInt64Array.from(timesteps, BigInt),
  });
  const steps = ddimSteps(schedule, timesteps);
  const run = async (
    own: readonly DdimStep[],
    options: DdimOptions = {},
    model = plain,
    start = recorded.input('x_T'),
  ): Promise<DdimRun> => {
    let draws = 0;
    const states = [start];
    const guesses = [start];
    let x = start;
    for await (const step of sampleDdim(model, start, own, {
      eta,
      drawUnused: true,
      noise: () => recorded.noise(draws++),
      ...options,
    })) {
      states.push(step.latent);
      guesses.push(step.denoised);
      x = step.latent;
    }
    return { x, states, guesses };
  };
  const stacked = (values: readonly Latent[]): Tensor =>
    float32(
      [values.length, ...(values[0]?.shape ?? [])],
      values.flatMap(({ data }) => [...data]),
    );
  const compareRun = function* (
    name: string,
    { x, states, guesses }: DdimRun,
    keep: (i: number) => boolean = () => true,
  ): Generator<Comparison> {
    if (recorded.outputs.has(`${name}.x`)) yield recorded.compare(`${name}.x`, x);
    const kept = (list: readonly Latent[]): Tensor => stacked(list.filter((_, i) => i === 0 || keep(i)));
    if (recorded.outputs.has(`${name}.x_inter`)) yield recorded.compare(`${name}.x_inter`, kept(states));
    const guess = recorded.outputs.get(`${name}.pred_x0`);
    if (guess) yield recorded.compare(`${name}.pred_x0`, guess.shape.length === 4 ? guesses.at(-1) : kept(guesses));
  };
  yield* compareRun('plain', await run(steps));
  yield* compareRun('eta0', await run(steps, { eta: 0 }));
  const [temperature = 1] = await fittedArguments(
    [settings.temperature ?? guess.temperature],
    async ([own]) => (await run(steps, { temperature: own })).x,
    pick(recorded.outputs, 'temperature.x'),
  );
  yield* compareRun('temperature', await run(steps, { temperature }));
  yield* compareRun('guided', await run(steps, { eta: 0 }, guided));
  for (const name of recorded.outputs.keys()) {
    const every = Number(/^log_every_(\d+)\.x$/.exec(name)?.[1]);
    if (!every) continue;
    yield* compareRun(`log_every_${every}`, await run(steps), (i) => {
      const index = steps.length - i;
      return index % every === 0 || index === steps.length - 1;
    });
  }
  const correctEps = (eps: Latent, x: Latent, _: number, alphaBar: number): Latent => ({
    ...eps,
    data: eps.data.map(
      (value, i) => value - corrector_strength * Math.sqrt(1 - alphaBar) * (centre - (x.data[i] as number)),
    ),
  });
  yield* compareRun('corrected', await run(steps, { correctEps }));
  let dropped = 0;
  const keepMasks = recorded.tensor('dropout_keep');
  const reviseNoise = (noise: Latent): Latent => {
    const base = dropped++ * noise.data.length;
    return {
      ...noise,
      data: noise.data.map((value, i) => (Number(keepMasks.data[base + i]) ? value / (1 - noise_dropout) : 0)),
    };
  };
  yield* compareRun('noise_dropout', await run(steps, { reviseNoise }));
  const mask = recorded.input('mask');
  let own = 0;
  const noise = (): Latent => recorded.noise(own++);
  const beforeStep = (x: Latent, t: number): Latent =>
    keepAtTimestep(schedule, { mask, latent: recorded.input('x0') }, x, t, noise());
  yield* compareRun('masked', await run(steps, { beforeStep, noise }));
  yield* subsets(recorded, run, steps, count);
  yield* encodings(recorded, guidedBy, schedule, run, timesteps);
};

/** Where the search for arguments begins that the index does not state. */
const guess = { temperature: 0.4, decodeScale: 1.7, originalStepsEta: 0.7 } as const;

type Run = (
  steps: readonly DdimStep[],
  options?: DdimOptions,
  model?: DiffusionModel,
  start?: Latent,
) => Promise<DdimRun>;

/** Steps of a subset of the timesteps, and one draw for the whole batch. */
async function* subsets(
  recorded: LineageCase,
  run: Run,
  steps: readonly DdimStep[],
  count: number,
): AsyncGenerator<Comparison> {
  const scalar = (value: number): Tensor => ({ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(value)) });
  for (const output of recorded.outputs.keys()) {
    const name = /^(subset\w*)\.count$/.exec(output)?.[1];
    if (!name) continue;
    // How many were asked for is not stated. One step less is made: k / S of the steps, less one.
    const stepsOf = (asked: number): number => Math.trunc(Math.min(asked / count, 1) * count) - 1;
    const made = Number(pick(recorded.outputs, output).data[0]);
    const asked = Array.from({ length: count }, (_, i) => i + 1).find((one) => stepsOf(one) === made) ?? count;
    const kept = stepsOf(asked);
    const cut = steps.slice(steps.length - kept);
    yield recorded.compare(`${name}.count`, scalar(kept));
    yield recorded.compare(`${name}.x`, (await run(cut)).x);
  }
  const single = recorded.input('single_noise');
  const shape = recorded.input('x_T').shape;
  const size = single.data.length / (single.shape[0] ?? 1);
  let draws = 0;
  const repeated = (): Latent => {
    const one = single.data.slice(draws * size, (draws + 1) * size);
    draws++;
    return float32(shape, Array.from({ length: shape[0] ?? 1 }, () => [...one]).flat());
  };
  const first = await run(steps.slice(0, 1), { noise: repeated });
  yield recorded.compare('repeat_noise.x', first.x);
  yield recorded.compare('repeat_noise.pred_x0', first.guesses.at(-1));
}

/** Noised by q, and brought back by DDIM, over its own steps and over all trained ones. */
async function* encodings(
  recorded: LineageCase,
  guidedBy: (scale: number) => DiffusionModel,
  schedule: NoiseSchedule,
  run: Run,
  timesteps: readonly number[],
): AsyncGenerator<Comparison> {
  const {
    encode_index: index,
    original_index: originalIndex,
    original_timesteps: originalCount,
    T,
  } = recorded.settings;
  const x0 = recorded.input('x0');
  const bar = (t: number): number => (t < 0 ? 1 : schedule.alphaBarAt(t));
  const all = Array.from({ length: T }, (_, t) => ({ timestep: t, alphaBar: bar(t), alphaBarPrev: bar(t - 1) }));
  const scalar = (value: number): Tensor => ({ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(value)) });
  const encoded = qSample(schedule, x0, timesteps[index] as number, recorded.noise(0));
  yield recorded.compare('encode.x', encoded);
  const originalEncoded = qSample(schedule, x0, originalIndex, recorded.noise(0));
  yield recorded.compare('encode_original.x', originalEncoded);
  const own = ddimSteps(schedule, timesteps).slice(timesteps.length - index);
  const decode = async (scale = 1): Promise<Latent> => (await run(own, { eta: 0 }, guidedBy(scale), encoded)).x;
  const want = (name: string): Tensor => pick(recorded.outputs, name);
  const [scale] = await fittedArguments([guess.decodeScale], ([one]) => decode(one), want('decode.x'));
  yield recorded.compare('decode.x', await decode(scale));
  const down = all.slice(0, originalIndex).reverse();
  yield recorded.compare('decode_original.x', (await run(down, { eta: 0 }, undefined, originalEncoded)).x);
  const whole = [...all].reverse();
  yield recorded.compare('original_steps.count', scalar(T));
  yield recorded.compare('original_steps.x', (await run(whole, { eta: 0 })).x);
  const some = all.slice(0, originalCount).reverse();
  yield recorded.compare('original_steps_eta.count', scalar(originalCount));
  const withEta = async (eta = 0): Promise<Latent> => (await run(some, { eta })).x;
  const [eta] = await fittedArguments([guess.originalStepsEta], ([one]) => withEta(one), want('original_steps_eta.x'));
  yield recorded.compare('original_steps_eta.x', await withEta(eta));
}

export const reader = lineageReader([
  [/^LAION aesthetic heads/, aesthetic],
  [/^NoiseScheduleVP/, dpmSchedules],
  [/^DDIMSampler: noise_dropout/, ddimOptions],
]);
