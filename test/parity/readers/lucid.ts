/** denoising-diffusion-pytorch and imagen-pytorch: schedules, objectives, sampling, guidance, continuous time, EDM. */

import {
  cosineLogSnr,
  type ContinuousObjective,
  continuousPosterior,
  continuousTimes,
  continuousX0,
  levelsOf,
  linearLogSnr,
  type LogSnr,
  noisedFromTo,
  noisedTo,
} from '../../../src/diffusion/continuous-time.ts';
import {
  elucidatedDenoise,
  type ElucidatedNetwork,
  elucidatedSigmas,
  elucidatedWeight,
  preconditioning,
  sampleElucidated,
  sampleElucidatedDpm,
  trainingSigma,
} from '../../../src/diffusion/elucidated.ts';
import {
  type GaussianNetwork,
  gaussianProcess,
  type MeanType,
  meanVariance,
  type Pixels,
  qSampleAt,
  sampleGaussian,
} from '../../../src/diffusion/gaussian/index.ts';
import { guideByDirection, projected } from '../../../src/diffusion/guidance-directions.ts';
import { lucidBetas, lucidLossWeights, type LucidSchedule } from '../../../src/diffusion/lucid-schedules.ts';
import { ddpmBuffers } from '../../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../../src/diffusion/objective.ts';
import { dynamicThreshold } from '../../../src/diffusion/thresholding.ts';
import { add, mean, mul, reshape, stopGradient, sub, sum } from '../../../src/graph/functions.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import { type InputSpec, type Params, type Sym, trace } from '../../../src/graph/trace.ts';
import { clamp, linearCombination, scale } from '../../../src/tensor/arithmetic.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { atTimesteps, diffusionLoss } from '../../../src/training/objective/diffusion.ts';
import { gaussianLoss, noisyPictures, toldTimesteps } from '../../../src/training/objective/gaussian.ts';
import { immiscibleAssignment } from '../../../src/training/objective/immiscible.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { pick } from '../../tensors.ts';
import { fittedArguments, numbersIn } from '../fitted.ts';
import { compileGraph, type LineageCase, lineageCase, type Loose } from '../lineage-case.ts';
import type { Comparison, Reader } from '../reader.ts';

type Compare = (recorded: LineageCase) => AsyncIterable<Comparison>;

interface Linear {
  readonly w: Tensor;
  readonly bias: Tensor;
  readonly slope: Tensor;
  readonly self_w?: Tensor;
}

async function linearOf(recorded: LineageCase, prefix = ''): Promise<Linear> {
  const source = recorded.weights();
  const read = async (name: string): Promise<Tensor> => source.read(prefix + name);
  return {
    w: await read('w'),
    bias: await read('bias'),
    slope: await read('slope'),
    ...(source.entries.has(`${prefix}self_w`) ? { self_w: await read('self_w') } : {}),
  };
}

/** out[b,o] = w x + bias + slope time / scale (+ self_w before). */
function apply(net: Linear, x: Pixels, time: readonly number[], scaleOfTime: number, before?: Pixels): Pixels {
  const [items = 0, channels = 0, height = 0, width = 0] = x.shape;
  const out = net.bias.shape[0] ?? 0;
  const plane = height * width;
  const data = new Float32Array(items * out * plane);
  for (let b = 0; b < items; b++)
    for (let o = 0; o < out; o++)
      for (let i = 0; i < plane; i++) {
        let total = Number(net.bias.data[o]) + (Number(net.slope.data[o]) * (time[b] as number)) / scaleOfTime;
        for (let c = 0; c < channels; c++) {
          const at = (b * channels + c) * plane + i;
          total += Number(net.w.data[o * channels + c]) * (x.data[at] as number);
          if (before) total += Number(net.self_w?.data[o * channels + c]) * (before.data[at] as number);
        }
        data[(b * out + o) * plane + i] = total;
      }
  return float32([items, out, height, width], data);
}

const toUnit = (x: Pixels): Pixels => ({ ...x, data: x.data.map((value) => (value + 1) / 2) });
const fromUnit = (x: Pixels): Pixels => ({ ...x, data: x.data.map((value) => value * 2 - 1) });
const numbers = (values: readonly number[], shape: readonly number[] = [values.length]): Tensor<'float32'> =>
  float32(shape, [...values]);
const float64 = (values: ArrayLike<number>): Tensor => ({
  dtype: 'float64',
  shape: [values.length],
  data: Float64Array.from(values),
});

const meanTypes: Readonly<Record<string, MeanType>> = { pred_noise: 'epsilon', pred_x0: 'start_x', pred_v: 'velocity' };
const kinds: Readonly<Record<string, Parameterization>> = { pred_noise: 'eps', pred_x0: 'x0', pred_v: 'v' };

const schedules: Compare = async function* (recorded) {
  for (const name of recorded.outputs.keys()) {
    const [first, second, other] = name.split('.') as [string, string, string | undefined];
    if (first === 'loss_weight') {
      const T = recorded.settings[0].T;
      // Which schedule the weights are of is not stated: the default of the original is sigmoid.
      const gamma = other === 'min_snr' ? 5 : undefined;
      const parameterization = kinds[second] as Parameterization;
      yield recorded.compare(
        name,
        float64(Float32Array.from(lucidLossWeights(lucidBetas.sigmoid(T), parameterization, gamma))),
      );
      continue;
    }
    const options = recorded.settings.find(({ T }: Loose) => T === Number(second));
    yield recorded.compare(name, float64(lucidBetas[first as LucidSchedule](Number(second), options)));
  }
};

function ddimTimes(timesteps: number, steps: number): number[] {
  return Array.from({ length: steps }, (_, i) => Math.trunc(Math.fround(-1 + (timesteps / steps) * (i + 1))));
}

const gaussian: Compare = async function* (recorded) {
  const { T, sampling_timesteps: few, scale: timeScale, interpolate } = recorded.settings;
  const start = recorded.input('x_T');
  // "DDIM (eta 0; cosine, eta .5)"
  const [, otherSchedule, otherEta] = /DDIM \(eta 0; (\w+), eta ([\d.]+)\)/.exec(recorded.row.exercises) ?? [];
  if (!otherEta) throw new Error('the runs of DDIM are not stated');
  for (const prefix of new Set(
    [...recorded.outputs.keys()].map((name) => /^(pred_\w+?(?:\.self)?)\./.exec(name)?.[1]),
  )) {
    if (!prefix) continue;
    const isSelf = prefix.endsWith('.self');
    const net = await linearOf(recorded, `${prefix}.`);
    const mean = meanTypes[prefix.split('.')[0] as string] as MeanType;
    const run = async (schedule: LucidSchedule, respacing: number[] | '', x: Pixels, options: Loose, first = 0) => {
      const process = gaussianProcess({ betas: lucidBetas[schedule](T), respacing, mean, variance: 'fixed_small' });
      let before: Pixels | undefined;
      let draws = first;
      const network: GaussianNetwork = async (at, told) => apply(net, at, told, timeScale, isSelf ? before : undefined);
      const states = [x];
      for await (const step of sampleGaussian(process, network, x, {
        noise: () => recorded.noise(Math.min(draws++, T - 1)),
        ...options,
      })) {
        before = step.x0;
        states.push(step.sample);
      }
      return states;
    };
    const stacked = (states: readonly Pixels[]): Tensor => {
      const [items = 0, ...rest] = start.shape;
      const size = start.data.length / items;
      const data = Array.from({ length: items }, (_, b) =>
        states.flatMap((state) => [...toUnit(state).data.slice(b * size, (b + 1) * size)]),
      ).flat();
      return float32([items, states.length, ...rest], data);
    };
    const whole = await run('sigmoid', '', start, {});
    yield recorded.compare(`${prefix}.sample`, toUnit(whole.at(-1) as Pixels));
    const every = Math.ceil(whole.length / (pick(recorded.outputs, `${prefix}.steps`).shape[1] ?? 1));
    yield recorded.compare(`${prefix}.steps`, stacked(whole.filter((_, i) => i % every === 0)));
    for (const [name, schedule, eta] of [
      ['ddim', 'sigmoid', 0],
      ['ddim_eta', otherSchedule as LucidSchedule, Number(otherEta)],
    ] as const) {
      const states = await run(schedule, ddimTimes(T, few), start, { method: 'ddim', eta });
      yield recorded.compare(`${prefix}.${name}.sample`, toUnit(states.at(-1) as Pixels));
      yield recorded.compare(`${prefix}.${name}.steps`, stacked(states));
    }
    const { t, lam } = interpolate;
    const process = gaussianProcess({ betas: lucidBetas.sigmoid(T) });
    const at = [recorded.input('x1'), recorded.input('x2')].map((x, i) =>
      qSampleAt(process, x, recorded.noise(i), new Array<number>(x.shape[0] ?? 1).fill(t)),
    ) as [Pixels, Pixels];
    const mixed = linearCombination([1 - lam, at[0]], [lam, at[1]]);
    const states = await run(
      'sigmoid',
      Array.from({ length: t }, (_, i) => i),
      mixed,
      {},
      2,
    );
    yield recorded.compare(`${prefix}.interpolate`, states.at(-1));
    yield* minSnr(recorded, prefix, net, timeScale);
  }
  const [pictures, noise] = [recorded.input('x1'), recorded.noise(0)];
  const assigned = immiscibleAssignment(pictures, noise);
  const size = noise.data.length / assigned.length;
  const turned = Float32Array.from(
    noise.data,
    (_, i) => noise.data[(assigned[Math.floor(i / size)] as number) * size + (i % size)] as number,
  );
  yield recorded.compare('immiscible.assign', {
    dtype: 'int64',
    shape: [assigned.length],
    data: BigInt64Array.from(assigned, BigInt),
  });
  const t = Array.from(recorded.tensor('t').data, Number);
  const process = gaussianProcess({ betas: lucidBetas.sigmoid(T) });
  yield recorded.compare('immiscible.q_sample', qSampleAt(process, pictures, { ...noise, data: turned }, t));
};

/** The linear network as a graph. */
const linearGraph =
  (timeScale: number) =>
  (p: Params, x: Sym, time: Sym, channels: number, before?: Sym): Sym => {
    const [batch = 1, inner = 1, height = 1, width = 1] = x.shape;
    const mixed = (name: string, value: Sym): Sym =>
      sum(
        mul(
          reshape(value, [batch, 1, inner, height, width]),
          reshape(p.get(name, [channels, inner as number]), [1, channels, inner, 1, 1]),
        ),
        [2],
      );
    const plain = add(mixed('w', x), reshape(p.get('bias', [channels]), [1, channels, 1, 1]));
    const timed = add(
      plain,
      mul(
        mul(reshape(time, [batch, 1, 1, 1]), 1 / timeScale),
        reshape(p.get('slope', [channels]), [1, channels, 1, 1]),
      ),
    );
    return before ? add(timed, mixed('self_w', before)) : timed;
  };

const weightsOf = (net: Linear) => memoryWeights(new Map(Object.entries(net)));

async function* minSnr(
  recorded: LineageCase,
  prefix: string,
  net: Linear,
  timeScale: number,
): AsyncGenerator<Comparison> {
  const parameterization = kinds[prefix.split('.')[0] as string] as Parameterization;
  // "schedule linear, gamma 5, offset noise 0.1"
  const [, name, gamma, noiseOffset] =
    /schedule (\w+), gamma (\S+), offset noise (\S+)/.exec(recorded.settings.min_snr) ?? [];
  if (!noiseOffset) throw new Error('the loss is not stated');
  const schedule = ddpmBuffers(lucidBetas[name as LucidSchedule](recorded.settings.T));
  const x0 = fromUnit(recorded.input('pictures'));
  const [b = 1, c = 1] = x0.shape;
  for (const output of [`${prefix}.min_snr`, `${prefix}.min_snr.conditioned`]) {
    if (!recorded.outputs.has(`${output}.loss`)) continue;
    const predict = linearGraph(timeScale);
    const graph = trace(
      {
        x0: { dtype: 'float32', shape: x0.shape },
        noise: { dtype: 'float32', shape: x0.shape },
        t: { dtype: 'int64', shape: [b] },
        offset: { dtype: 'float32', shape: [b, c, 1, 1] },
      } satisfies Record<string, InputSpec>,
      ({ x0: clean, noise, t, offset }, p) => {
        const conditioned = (x: Sym, time: Sym): Sym => {
          const said = stopGradient(predict(p, x, time, c));
          const per = (table: Float32Array): Sym => reshape(atTimesteps(table, t), [b, 1, 1, 1]);
          const alpha = per(schedule.sqrt_alphas_cumprod);
          const sigma = per(schedule.sqrt_one_minus_alphas_cumprod);
          if (parameterization === 'x0') return said;
          if (parameterization === 'v') return sub(mul(alpha, x), mul(sigma, said));
          return sub(
            mul(per(schedule.sqrt_recip_alphas_cumprod), x),
            mul(per(schedule.sqrt_recipm1_alphas_cumprod), said),
          );
        };
        const made = diffusionLoss(
          { schedule, parameterization, minSnrGamma: Number(gamma), noiseOffset: Number(noiseOffset) },
          { x0: clean, noise, t, offset },
          (x, time) =>
            predict(p, x, time, c, output.endsWith('conditioned') ? stopGradient(conditioned(x, time)) : undefined),
        );
        const error = sub(made.prediction, made.target);
        const each = mul(mean(mul(error, error), [1, 2, 3]), made.weights as Sym);
        return { loss: made.loss, each };
      },
    );
    const program = await compileGraph(gradients(graph, 'loss', ['w']), weightsOf(net));
    const offset = recorded.input('offset_noise');
    const made = await program.run({
      x0,
      noise: recorded.noise(0),
      t: recorded.tensor('t'),
      offset: { ...offset, shape: [b, c, 1, 1] },
    });
    await program.dispose();
    yield recorded.compare(`${output}.loss`, made['each']);
    yield recorded.compare(`${output}.grad.w`, made['grad.w']);
  }
}

const learnedVariance: Compare = async function* (recorded) {
  const { T, schedule, scale: timeScale } = recorded.settings;
  const net = await linearOf(recorded);
  const process = gaussianProcess({
    betas: lucidBetas[schedule as LucidSchedule](T),
    variance: 'learned_range',
    smallestVariance: 1e-20,
  });
  const t = Array.from(recorded.tensor('t').data, Number);
  const x = recorded.input('x_t');
  // p_mean_variance clips by default, the loss does not.
  const made = [true, false].map((clip) => meanVariance(process, apply(net, x, t, timeScale), x, t, { clip }));
  const best = made.map((one) => recorded.compare('mean', one.mean)).sort((a, b) => a.error - b.error)[0] as Comparison;
  yield best;
  yield recorded.compare('variance', made[0]?.variance);
  yield recorded.compare('log_variance', made[0]?.logVariance);
  const x0 = recorded.input('x_start');
  const channels = net.bias.shape[0] ?? 6;
  const graph = trace(
    {
      x0: { dtype: 'float32', shape: x0.shape },
      noise: { dtype: 'float32', shape: x0.shape },
      t: { dtype: 'int64', shape: [t.length] },
    } satisfies Record<string, InputSpec>,
    (inputs, p) => {
      const noisy = noisyPictures(process, inputs);
      const output = linearGraph(timeScale)(p, noisy, toldTimesteps(process, inputs.t), channels);
      return {
        loss: mean(gaussianLoss(process, 'mse', inputs, noisy, output, { boundWeight: 0.001, floor: 1e-15 }).loss),
      };
    },
  );
  const program = await compileGraph(gradients(graph, 'loss', ['w', 'bias', 'slope']), weightsOf(net));
  const result = await program.run({ x0, noise: recorded.input('noise'), t: recorded.tensor('t') });
  await program.dispose();
  yield recorded.compare('loss', result['loss']);
  for (const name of ['w', 'bias', 'slope']) yield recorded.compare(`grad.${name}`, result[`grad.${name}`]);
};

const logSnrs: Readonly<Record<string, LogSnr>> = { linear: linearLogSnr, cosine: cosineLogSnr, v: cosineLogSnr };

const imagen: Compare = async function* (recorded) {
  const { timesteps, percentile, t_next } = recorded.settings;
  // "0.6 x times"
  const [share = Number.NaN] = numbersIn(t_next);
  const t = Array.from(recorded.input('t').data);
  const times = Array.from(recorded.input('times').data);
  const [x0, x, noise, output] = ['x_start', 'x_t', 'noise', 'output'].map((name) => recorded.input(name)) as [
    Pixels,
    Pixels,
    Pixels,
    Pixels,
  ];
  for (const schedule of ['linear', 'cosine']) {
    const logSnr = logSnrs[schedule] as LogSnr;
    const at = (list: readonly number[]): number[] => list.map(logSnr);
    yield recorded.compare(`${schedule}.log_snr`, numbers(at(t)));
    yield recorded.compare(`${schedule}.alpha`, numbers(at(t).map((value) => levelsOf(value).alpha)));
    yield recorded.compare(`${schedule}.sigma`, numbers(at(t).map((value) => levelsOf(value).sigma)));
    const next = times.map((time) => Math.fround(time * share));
    const nearer = times.map((time) => Math.max(Math.fround(time - 1 / timesteps), 0));
    for (const [name, to] of [
      ['posterior', next],
      ['posterior_default', nearer],
    ] as const) {
      const made = continuousPosterior(x0, x, at(times), at(to));
      yield recorded.compare(`${schedule}.${name}.mean`, made.mean);
      yield recorded.compare(`${schedule}.${name}.variance`, made.variance);
      yield recorded.compare(`${schedule}.${name}.log_variance`, made.logVariance);
    }
    yield recorded.compare(`${schedule}.q_sample`, noisedTo(x0, noise, at(times)));
    yield recorded.compare(`${schedule}.q_sample_from_to`, noisedFromTo(x, noise, at(next), at(times)));
    yield recorded.compare(`${schedule}.start_from_noise`, continuousX0('noise', x, output, at(times)));
    yield recorded.compare(`${schedule}.start_from_v`, continuousX0('v', x, output, at(times)));
    for (const objective of ['noise', 'x_start', 'v'] as const satisfies readonly ContinuousObjective[]) {
      const guess = continuousX0(objective, x, output, at(times));
      for (const [kind, revised] of [
        ['threshold', dynamicThreshold(guess, percentile, Number.POSITIVE_INFINITY)],
        ['clip', clamp(guess, -1, 1)],
      ] as const) {
        yield recorded.compare(`${schedule}.${objective}.${kind}.x_start`, revised);
        yield recorded.compare(
          `${schedule}.${objective}.${kind}.mean`,
          continuousPosterior(revised, x, at(times), at(next)).mean,
        );
      }
    }
    for (const [i, pair] of continuousTimes(timesteps).entries()) {
      const name = `${schedule}.sampling_times.${i}`;
      const want = recorded.outputs.get(name);
      // The pair of times, or both pictures' time, by how it was recorded.
      if (want) yield recorded.compare(name, numbers([...pair]));
    }
  }
};

/** The monotone network that learns the log-SNR, normalised between its ends. */
async function learnedLogSnr(recorded: LineageCase): Promise<LogSnr> {
  const source = recorded.weights();
  const values = async (name: string): Promise<number[]> =>
    Array.from((await source.read(`learned.net.${name}`)).data as ArrayLike<number>, (v) => Math.abs(Number(v)));
  const [w1, b1] = [await values('1.net.weight'), await values('1.net.bias')];
  const [w2, b2] = [await values('2.fn.0.net.weight'), await values('2.fn.0.net.bias')];
  const [w3, b3] = [await values('2.fn.2.net.weight'), await values('2.fn.2.net.bias')];
  const raw = (t: number): number => {
    const first = (w1[0] as number) * t + (b1[0] as number);
    const hidden = w2.map((w, i) => 1 / (1 + Math.exp(-(w * first + (b2[i] as number)))));
    return first + hidden.reduce((total, h, i) => total + (w3[i] as number) * h, b3[0] as number);
  };
  const [low, high] = [raw(0), raw(1)];
  const between =
    ([first = 0, last = 0]: readonly number[]): LogSnr =>
    (t) =>
      first + ((last - first) * (raw(t) - low)) / (high - low);
  // The ends of the log-SNR at t = 0 and t = 1, which the index need not state.
  const t = Array.from(recorded.input('t').data);
  const want = pick(recorded.outputs, 'learned.log_snr');
  return between(await fittedArguments([9, -10], (ends) => numbers(t.map(between(ends))), want));
}

const continuous: Compare = async function* (recorded) {
  const { steps, from_to, scale: timeScale } = recorded.settings;
  const net = await linearOf(recorded);
  // "step0..2: p_sample from 0.9 to 0.6, 0.3 and 0"
  const stepTimes = numbersIn(/p_sample from (.*)/.exec(recorded.row.notes.join('\n'))?.[1] ?? '');
  const t = Array.from(recorded.input('t').data);
  const times = Array.from(recorded.input('times').data);
  const x0 = recorded.input('x_start');
  const start = recorded.input('x_T');
  yield recorded.compare('learned.log_snr', numbers(t.map(await learnedLogSnr(recorded))));
  for (const schedule of ['linear', 'cosine', 'v']) {
    const logSnr = logSnrs[schedule] as LogSnr;
    yield recorded.compare(`${schedule}.log_snr`, numbers(t.map(logSnr)));
    for (const clip of schedule === 'v' ? [''] : ['clip.', 'free.']) {
      const isV = schedule === 'v';
      const prefix = `${schedule}.${clip}`;
      const step = (x: Pixels, from: number, to: number) => {
        const [a, b] = [logSnr(from), logSnr(to)].map((value) => new Array<number>(x.shape[0] ?? 1).fill(value)) as [
          number[],
          number[],
        ];
        const guess = continuousX0(isV ? 'v' : 'noise', x, apply(net, x, a, timeScale), a);
        return continuousPosterior(clip === 'free.' ? guess : clamp(guess, -1, 1), x, a, b);
      };
      const sample = (x: Pixels, from: number, to: number, draw: Pixels): Pixels => {
        const { mean: center, variance } = step(x, from, to);
        return to === 0 ? center : linearCombination([1, center], [Math.sqrt(Number(variance.data[0])), draw]);
      };
      const made = step(start, from_to[0], from_to[1]);
      yield recorded.compare(`${prefix}mean`, made.mean);
      yield recorded.compare(`${prefix}variance`, numbers([Number(made.variance.data[0])], []));
      const noised = noisedTo(x0, recorded.noise(0), times.map(logSnr));
      yield recorded.compare(`${prefix}q_sample`, noised);
      let state = start;
      for (const [i, to] of stepTimes.slice(1).entries()) {
        const from = stepTimes[i] as number;
        state = sample(state, from, to, recorded.noise(i));
        yield recorded.compare(`${prefix}step${i}`, state);
      }
      if (recorded.outputs.has(`${prefix}sample`)) {
        let x = start;
        for (const [i, [from, to]] of continuousTimes(steps).entries()) x = sample(x, from, to, recorded.noise(i));
        yield recorded.compare(`${prefix}sample`, toUnit(clamp(x, -1, 1)));
      }
      yield recorded.compare(
        `${prefix}loss`,
        numbers([lossOf(recorded, net, noised, times.map(logSnr), timeScale, isV, clip === 'free.')], []),
      );
    }
  }
};

function lossOf(
  recorded: LineageCase,
  net: Linear,
  noised: Pixels,
  logSnr: readonly number[],
  timeScale: number,
  isV: boolean,
  weighs: boolean,
): number {
  const [x0, noise] = [recorded.input('x_start'), recorded.noise(0)];
  const output = apply(net, noised, logSnr, timeScale);
  const size = x0.data.length / logSnr.length;
  let total = 0;
  for (const [item, value] of logSnr.entries()) {
    const { alpha, sigma } = levelsOf(value);
    let error = 0;
    for (let i = item * size; i < (item + 1) * size; i++) {
      const [clean, draw] = [x0.data[i] as number, noise.data[i] as number];
      error += ((output.data[i] as number) - (isV ? alpha * draw - sigma * clean : draw)) ** 2 / size;
    }
    const snr = Math.exp(value);
    total += (error * (weighs ? Math.min(snr, 5) / snr : 1)) / logSnr.length;
  }
  return total;
}

const elucidated: Compare = async function* (recorded) {
  const { steps, dpmpp_steps, scale: timeScale } = recorded.settings;
  const sigmas = Array.from(recorded.input('sigma').data);
  const factors = sigmas.map((sigma) => preconditioning(sigma));
  yield recorded.compare('c_in', numbers(factors.map((f) => f.in)));
  yield recorded.compare('c_out', numbers(factors.map((f) => f.out)));
  yield recorded.compare('c_skip', numbers(factors.map((f) => f.skip)));
  yield recorded.compare('c_noise', numbers(factors.map((f) => f.noise)));
  yield recorded.compare('loss_weight', numbers(sigmas.map((sigma) => elucidatedWeight(sigma))));
  yield recorded.compare('schedule', numbers(elucidatedSigmas(steps)));
  for (const name of recorded.outputs.keys()) {
    const count = /^schedule_(\d+)$/.exec(name)?.[1];
    if (count) yield recorded.compare(name, numbers(elucidatedSigmas(Number(count))));
  }
  const pictures = fromUnit(recorded.input('pictures'));
  for (const kind of ['plain', 'self']) {
    const net = await linearOf(recorded, `${kind}.`);
    const isSelf = kind === 'self';
    const network: ElucidatedNetwork = async (x, noise, before) =>
      apply(net, x, noise, timeScale, isSelf ? before : undefined);
    if (kind === 'plain') {
      const x = recorded.input('x');
      yield recorded.compare('denoised', await elucidatedDenoise(network, x, sigmas));
      yield recorded.compare('denoised_clamped', await elucidatedDenoise(network, x, sigmas, { clamp: true }));
    }
    for (const [name, clips] of [
      ['heun', true],
      ['heun_unclamped', false],
    ] as const) {
      let draws = 0;
      const made = await sampleElucidated(network, recorded.input('x_T'), {
        steps,
        clamp: clips,
        selfCondition: isSelf,
        noise: () => recorded.noise(draws++),
      });
      yield recorded.compare(`${kind}.${name}`, toUnit(made));
    }
    yield recorded.compare(
      `${kind}.dpmpp`,
      toUnit(await sampleElucidatedDpm(network, recorded.input('x_T'), { steps: dpmpp_steps })),
    );
    const losses = async (at: readonly number[]): Promise<number[]> => {
      const size = pictures.data.length / at.length;
      const noise = recorded.noise(0);
      const noised = {
        ...pictures,
        data: Float32Array.from(
          pictures.data,
          (value, i) => value + (at[Math.floor(i / size)] as number) * (noise.data[i] as number),
        ),
      };
      const before = isSelf ? await elucidatedDenoise(network, noised, at) : undefined;
      const guess = await elucidatedDenoise(network, noised, at, { before });
      return at.map((sigma, item) => {
        let error = 0;
        for (let i = item * size; i < (item + 1) * size; i++)
          error += ((guess.data[i] as number) - (pictures.data[i] as number)) ** 2 / size;
        return error * elucidatedWeight(sigma);
      });
    };
    yield recorded.compare(`${kind}.losses`, numbers(await losses(sigmas)));
    const drawn = await losses(Array.from(recorded.input('normal').data, (normal) => trainingSigma(normal)));
    yield recorded.compare(`${kind}.loss_drawn`, numbers([drawn.reduce((a, b) => a + b, 0) / drawn.length], []));
  }
};

const guidance: Compare = async function* (recorded) {
  const { settings: given } = recorded;
  const { T, schedule, sampling_timesteps: few, eta, cond_scale: guidanceScale, rescaled_phi: phi } = given;
  const timeScale = given.scale ?? 1000;
  const net = await linearOf(recorded, 'net.');
  const emb = await recorded.weights().read('emb');
  const [a, b] = [recorded.input('a'), recorded.input('b')];
  const { parallel, orthogonal } = projected(a, b);
  yield recorded.compare('project.parallel', parallel);
  yield recorded.compare('project.orthogonal', orthogonal);
  const classes = Array.from(recorded.tensor('classes').data, Number);
  // "null pass: net(0.9 x) + emb[3]"
  const [, share, nullRow] = /null pass: net\((\S+) x\) \+ emb\[(\d+)\]/.exec(recorded.row.notes.join('\n')) ?? [];
  if (!nullRow) throw new Error('the null pass is not stated');
  const withClass = (x: Pixels, of: (item: number) => number): Pixels => {
    const [, c = 1, h = 1, w = 1] = x.shape;
    return {
      ...x,
      data: x.data.map(
        (value, i) => value + Number(emb.data[of(Math.floor(i / (c * h * w))) * c + (Math.floor(i / (h * w)) % c)]),
      ),
    };
  };
  const passes = (x: Pixels, told: readonly number[]): readonly [Pixels, Pixels] => [
    withClass(apply(net, x, told, timeScale), (item) => classes[item] as number),
    withClass(apply(net, scale(x, Math.fround(Number(share))), told, timeScale), () => Number(nullRow)),
  ];
  const x = recorded.input('x_T');
  const at = (t: number): readonly [Pixels, Pixels] =>
    passes(
      x,
      classes.map(() => t),
    );
  const guidedOf = (name: string, [conditional, unconditional]: readonly [Pixels, Pixels], fraction = 0): Pixels => {
    if (name.endsWith('.null')) return unconditional;
    const settings: Readonly<Record<string, readonly [number, number]>> = {
      'guided.default': [0, 0],
      'guided.keep_parallel': [1, 0],
      'guided.keep_frac': [fraction, 0],
      'guided.rescaled': [0, phi],
      'guided.rescaled_plain': [1, phi],
    };
    const [keepParallel, rescale] = settings[name] ?? [0, 0];
    return guideByDirection(conditional, unconditional, { scale: guidanceScale, keepParallel, rescale });
  };
  // The timestep and the share of the parallel part need not be stated.
  const want = (name: string): Tensor => pick(recorded.outputs, name);
  const [near = 0] = await fittedArguments(
    [recorded.settings.t ?? 7],
    ([one = 0]) => guidedOf('guided.default', at(one)),
    want('guided.default'),
  );
  const t = Math.round(near);
  const [fraction] = await fittedArguments(
    [recorded.settings.keep_parallel_frac ?? 0.25],
    ([one]) => guidedOf('guided.keep_frac', at(t), one),
    want('guided.keep_frac'),
  );
  for (const name of recorded.outputs.keys())
    if (name.startsWith('guided.')) yield recorded.compare(name, guidedOf(name, at(t), fraction));
  for (const [kind, objective] of Object.entries(kinds))
    for (const plus of ['plain', 'plus_plus']) {
      const name = `${kind}.${plus}.ddim`;
      if (recorded.outputs.has(name))
        yield recorded.compare(
          name,
          guidedDdim(recorded, passes, {
            objective,
            plus: plus === 'plus_plus',
            T,
            schedule,
            few,
            eta,
            guidanceScale,
            rescale: phi,
          }),
        );
    }
};

interface GuidedDdim {
  readonly objective: Parameterization;
  readonly plus: boolean;
  readonly T: number;
  readonly schedule: LucidSchedule;
  readonly few: number;
  readonly eta: number;
  readonly guidanceScale: number;
  readonly rescale: number;
}

function guidedDdim(
  recorded: LineageCase,
  passes: (x: Pixels, told: readonly number[]) => readonly [Pixels, Pixels],
  options: GuidedDdim,
): Pixels {
  const { objective, plus, T, schedule, few, eta, guidanceScale, rescale } = options;
  const process = gaussianProcess({ betas: lucidBetas[schedule](T) });
  const bars = process.tables.alphasCumprod;
  const times = ddimTimes(T, few).reverse();
  let x = recorded.input('x_T');
  for (const [i, t] of times.entries()) {
    const alphaBar = bars[t] as number;
    const [alpha, sigma] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
    const [conditional, unconditional] = passes(x, new Array<number>(x.shape[0] ?? 1).fill(t));
    const guided = guideByDirection(conditional, unconditional, { scale: guidanceScale, rescale });
    const ofX0 = (output: Pixels): Pixels =>
      objective === 'x0'
        ? output
        : objective === 'v'
          ? linearCombination([alpha, x], [-sigma, output])
          : linearCombination([1 / alpha, x], [-sigma / alpha, output]);
    const ofNoise = (x0: Pixels): Pixels => linearCombination([1 / sigma, x], [-alpha / sigma, x0]);
    const x0 = clamp(ofX0(guided), -1, 1);
    const basis = plus ? unconditional : guided;
    const noise = objective === 'eps' ? basis : ofNoise(plus ? clamp(ofX0(basis), -1, 1) : x0);
    const next = times[i + 1];
    if (next === undefined) {
      x = x0;
      break;
    }
    const nextBar = bars[next] as number;
    const deviation = eta * Math.sqrt(((1 - alphaBar / nextBar) * (1 - nextBar)) / (1 - alphaBar));
    x = linearCombination(
      [Math.sqrt(nextBar), x0],
      [Math.sqrt(1 - nextBar - deviation ** 2), noise],
      [deviation, recorded.noise(i)],
    );
  }
  return toUnit(x);
}

const compares: readonly (readonly [RegExp, RegExp, Compare])[] = [
  [/^linear, cosine and sigmoid betas/, /denoising-diffusion-pytorch/, schedules],
  [/^three objectives, sigmoid schedule/, /denoising-diffusion-pytorch/, gaussian],
  [/^learned range: mean, variance, loss/, /denoising-diffusion-pytorch/, learnedVariance],
  [/^continuous time/, /denoising-diffusion-pytorch/, continuous],
  [/^EDM/, /denoising-diffusion-pytorch/, elucidated],
  [/^projection, guidance/, /denoising-diffusion-pytorch/, guidance],
  [/^log-SNR, alpha, sigma/, /imagen-pytorch/, imagen],
];

const matching = (row: Loose): readonly Compare[] =>
  compares.flatMap(([what, reference, compare]) =>
    what.test(String(row.exercises)) && reference.test(String(row.reference)) ? [compare] : [],
  );

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => matching(row).length > 0,
  async *compare(raw) {
    for (const compare of matching(raw.row)) yield* compare(lineageCase(raw));
  },
};
