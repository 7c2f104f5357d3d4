/** imagen-pytorch and continuous time: levels by the log of the signal-to-noise ratio, posteriors, losses. */

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
import type { Pixels } from '../../../src/diffusion/gaussian/index.ts';
import { dynamicThreshold } from '../../../src/diffusion/thresholding.ts';
import { clamp, linearCombination } from '../../../src/tensor/arithmetic.ts';
import { pick } from '../../tensors.ts';
import { fittedArguments, numbersIn } from '../fitted.ts';
import type { LineageCase } from '../lineage-case.ts';
import { linearOf, apply, toUnit, numbers, type Linear, type Compare } from './linear.ts';

const logSnrs: Readonly<Record<string, LogSnr>> = { linear: linearLogSnr, cosine: cosineLogSnr, v: cosineLogSnr };

export const imagen: Compare = async function* (recorded) {
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

export const continuous: Compare = async function* (recorded) {
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
