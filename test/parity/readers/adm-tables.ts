/** guided-diffusion without a network: schedules, spaced timesteps, q(x_t | x_0), likelihoods, the flags, the resampler, names of published files. */

import * as z from 'zod';
import { admClassifier, admFlags, admUNet } from '../../../src/config/adm-flags.ts';
import {
  admBetas,
  admLossType,
  admProcess,
  approximateCdf,
  discretizedLogLikelihood,
  epsFromX0,
  gaussianProcess,
  normalKl,
  qMeanVariance,
  qPosterior,
  qSampleAt,
  spacedSections,
  spacedTables,
  x0FromEps,
  x0FromPrevious,
} from '../../../src/diffusion/gaussian/index.ts';
import { networkParameters } from '../../../src/models/index.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { lossResampler, uniformResampler } from '../../../src/training/objective/timestep-resampler.ts';
import { pick } from '../../tensors.ts';
import type { LineageCase, Loose } from '../lineage-case.ts';
import { type Comparison, compareExactly } from '../reader.ts';
import { lineageReader } from '../lineage-reader.ts';

type Compare = (recorded: LineageCase) => Iterable<Comparison>;

const float64 = (values: ArrayLike<number>): Tensor => ({
  dtype: 'float64',
  shape: [values.length],
  data: Float64Array.from(values),
});
const integers = (values: readonly number[]): Tensor => ({
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

const scheduleSettings = z.array(
  z.looseObject({
    index: z.number(),
    T: z.number(),
    schedule: z.enum(['linear', 'cosine']),
    timestep_respacing: z.string(),
  }),
);

const schedules: Compare = function* (recorded) {
  for (const { index, T, schedule, timestep_respacing } of scheduleSettings.parse(recorded.settings)) {
    const { tables, timestepMap } = spacedTables(admBetas(schedule, T), timestep_respacing);
    const { alphasCumprod } = tables;
    const values: Readonly<Record<string, Tensor>> = {
      timestep_map: integers(timestepMap),
      betas: float64(tables.betas),
      log_betas: float64(tables.betas.map(Math.log)),
      alphas_cumprod: float64(alphasCumprod),
      alphas_cumprod_prev: float64(tables.alphasCumprodPrev),
      alphas_cumprod_next: float64(tables.alphasCumprodNext),
      log_one_minus_alphas_cumprod: float64(alphasCumprod.map((bar) => Math.log(1 - bar))),
      sqrt_recipm1_alphas_cumprod: float64(alphasCumprod.map((bar) => Math.sqrt(1 / bar - 1))),
      posterior_variance: float64(tables.posteriorVariance),
      posterior_log_variance_clipped: float64(tables.posteriorLogVarianceClipped),
      posterior_mean_coef1: float64(tables.posteriorMeanCoef1),
      posterior_mean_coef2: float64(tables.posteriorMeanCoef2),
      fixed_large_variance: float64(tables.fixedLargeVariance),
    };
    for (const name of recorded.outputs.keys())
      if (name.startsWith(`${index}.`)) yield recorded.compare(name, values[name.slice(`${index}.`.length)]);
  }
};

const meanNames = { EPSILON: 'epsilon', START_X: 'start_x', PREVIOUS_X: 'previous_x' } as Loose;

const respacing: Compare = function* (recorded) {
  const wanted = recorded.json('respacing.json');
  for (const row of wanted.space_timesteps) {
    const text = Array.isArray(row.section_counts) ? row.section_counts.join(',') : row.section_counts;
    let got: unknown;
    try {
      got = spacedSections(row.num_timesteps, text);
    } catch {
      got = 'error';
    }
    yield compareExactly(`${row.num_timesteps} ${text}`, got, row.error ? 'error' : row.timesteps);
  }
  for (const row of wanted.wrapped_model) {
    const process = gaussianProcess({
      timesteps: row.T,
      respacing: row.respacing,
      rescaleTimesteps: row.rescale_timesteps,
    });
    yield compareExactly(`told of ${row.T} ${row.respacing}`, process.told, row.model_is_told);
  }
  for (const row of wanted.flags) {
    const flags = admFlags(row.flags);
    const process = admProcess(flags);
    yield compareExactly(
      `flags ${JSON.stringify(row.flags)}`,
      [process.mean, process.variance, admLossType(flags)],
      [meanNames[row.mean], row.variance.toLowerCase(), row.loss.toLowerCase()],
    );
  }
};

const q: Compare = function* (recorded) {
  const { T: timesteps, schedule } = recorded.settings;
  const process = gaussianProcess({ timesteps, schedule });
  const t = Array.from(recorded.tensor('t').data, Number);
  const [x0, noise, x] = ['x_start', 'noise', 'x_t'].map((name) => recorded.input(name)) as [
    Tensor<'float32'>,
    Tensor<'float32'>,
    Tensor<'float32'>,
  ];
  const forward = qMeanVariance(process, x0, t);
  const posterior = qPosterior(process, x0, x, t);
  yield recorded.compare('q_mean', forward.mean);
  yield recorded.compare('q_variance', forward.variance);
  yield recorded.compare('q_log_variance', forward.logVariance);
  yield recorded.compare('q_sample', qSampleAt(process, x0, noise, t));
  yield recorded.compare('posterior_mean', posterior.mean);
  yield recorded.compare('posterior_variance', posterior.variance);
  yield recorded.compare('posterior_log_variance_clipped', posterior.logVariance);
  yield recorded.compare('xstart_from_eps', x0FromEps(process, x, noise, t));
  yield recorded.compare('eps_from_xstart', epsFromX0(process, x, x0, t));
  yield recorded.compare('xstart_from_xprev', x0FromPrevious(process, x, noise, t));
};

const likelihood: Compare = function* (recorded) {
  const values = (name: string): Float32Array => recorded.input(name).data;
  const [x, means, logScales, mean2, logvar2] = ['x', 'means', 'log_scales', 'mean2', 'logvar2'].map(values) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const made = (value: (i: number) => number): Tensor => ({
    dtype: 'float32',
    shape: [x.length],
    data: Float32Array.from(x, (_, i) => value(i)),
  });
  const of = (list: Float32Array, i: number): number => list[i] as number;
  yield recorded.compare(
    'log_likelihood',
    made((i) => discretizedLogLikelihood(of(x, i), of(means, i), of(logScales, i))),
  );
  yield recorded.compare(
    'cdf',
    made((i) => approximateCdf(3 * of(means, i))),
  );
  yield recorded.compare(
    'kl',
    made((i) => normalKl(of(means, i), of(logScales, i), of(mean2, i), of(logvar2, i))),
  );
  yield recorded.compare(
    'kl_standard',
    made((i) => normalKl(of(means, i), of(logScales, i), 0, 0)),
  );
};

const resampler: Compare = function* (recorded) {
  const { T, history_per_term, uniform_prob } = recorded.settings;
  const ours = lossResampler(T, history_per_term, uniform_prob);
  const t = Array.from(recorded.tensor('t').data, Number);
  const losses = Array.from(recorded.tensor('loss').data, Number);
  const counts = [...recorded.outputs.keys()].flatMap((name) => /^weights\.(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  let seen = 0;
  const draw = function* (name: string, from: ReturnType<typeof lossResampler>): Generator<Comparison> {
    const uniforms = Array.from(pick(recorded.outputs, `${name}.uniforms`).data, Number);
    const { timesteps, weights } = from.draw(uniforms);
    // What the draws are made of: recorded beside them.
    yield recorded.compare(`${name}.uniforms`, pick(recorded.outputs, `${name}.uniforms`));
    yield recorded.compare(`${name}.timesteps`, integers(timesteps));
    yield recorded.compare(`${name}.weights`, float64(Float32Array.from(weights)));
  };
  for (const count of counts.sort((a, b) => a - b)) {
    ours.update(t.slice(seen, count), losses.slice(seen, count));
    seen = count;
    yield recorded.compare(`weights.${count}`, float64(ours.weights()));
    yield* draw(`draw.${count}`, ours);
  }
  for (const name of recorded.outputs.keys()) {
    const uniform = /^(.*uniform.*)\.timesteps$/.exec(name)?.[1];
    if (uniform !== undefined) yield* draw(uniform, uniformResampler(T));
  }
};

const published: Compare = function* (recorded) {
  for (const [file, { flags, other_flags, keys }] of Object.entries<Loose>(recorded.json('keys.json'))) {
    const all = admFlags({ ...flags, ...other_flags });
    const config = flags.classifier_width === undefined ? admUNet(all) : admClassifier(all);
    const ours = networkParameters(config).map(({ name, shape }) => [name, [...shape]]);
    const sorted = (list: readonly Loose[]): unknown => [...list].sort((a, b) => (a[0] < b[0] ? -1 : 1));
    yield compareExactly(file, sorted(ours), sorted(keys));
  }
};

export const reader = lineageReader([
  [/^SpacedDiffusion tables/, schedules],
  [/^lists of kept timesteps/, respacing],
  [/^q_mean_variance/, q],
  [/^discretized_gaussian_log_likelihood/, likelihood],
  [/^LossSecondMomentResampler/, resampler],
  [/every published checkpoint/, published],
]);
