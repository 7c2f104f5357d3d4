/** denoising-diffusion-pytorch: schedules, objectives, sampling, min-SNR weights, a learned variance. */

import {
  type GaussianNetwork,
  gaussianProcess,
  type MeanType,
  meanVariance,
  type Pixels,
  qSampleAt,
  sampleGaussian,
} from '../../../src/diffusion/gaussian/index.ts';
import { lucidDdimTimes } from '../../../src/diffusion/lucid-process.ts';
import { lucidBetas, lucidLossWeights, type LucidSchedule } from '../../../src/diffusion/lucid-schedules.ts';
import { ddpmBuffers } from '../../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../../src/diffusion/objective.ts';
import { mean, mul, reshape, stopGradient, sub } from '../../../src/graph/functions.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import { type InputSpec, type Sym, trace } from '../../../src/graph/trace.ts';
import { linearCombination } from '../../../src/tensor/arithmetic.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { atTimesteps, diffusionLoss } from '../../../src/training/objective/diffusion.ts';
import { gaussianLoss, noisyPictures, toldTimesteps } from '../../../src/training/objective/gaussian.ts';
import { immiscibleAssignment } from '../../../src/training/objective/immiscible.ts';
import { pick } from '../../tensors.ts';
import { compileGraph, type LineageCase, type Loose } from '../lineage-case.ts';
import type { Comparison } from '../reader.ts';
import {
  linearOf,
  apply,
  toUnit,
  fromUnit,
  float64,
  weightsOf,
  linearGraph,
  meanTypes,
  kinds,
  type Linear,
  type Compare,
} from './linear.ts';

export const schedules: Compare = async function* (recorded) {
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

export const gaussian: Compare = async function* (recorded) {
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
      const states = await run(schedule, [...lucidDdimTimes(T, few)], start, { method: 'ddim', eta });
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

export async function* minSnr(
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

export const learnedVariance: Compare = async function* (recorded) {
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
