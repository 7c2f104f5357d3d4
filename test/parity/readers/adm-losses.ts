/** guided-diffusion's losses with their gradients, of a linear model and of a whole network. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { unetConfigSchema } from '../../../src/config/network-config.ts';
import {
  type GaussianProcess,
  gaussianProcess,
  type MeanType,
  type VarianceType,
} from '../../../src/diffusion/gaussian/index.ts';
import { add, mean, mul, reshape, sum } from '../../../src/graph/functions.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import { type InputSpec, type Params, type Sym, trace } from '../../../src/graph/trace.ts';
import { unet } from '../../../src/models/unet.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import {
  gaussianLoss,
  type GaussianLossType,
  noisyPictures,
  toldTimesteps,
} from '../../../src/training/objective/gaussian.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { compileGraph, type LineageCase, lineageCase, type Loose } from '../lineage-case.ts';
import { type Comparison, compareExactly, type Reader, type RecordedCase } from '../reader.ts';

type Predict = (p: Params, x: Sym, told: Sym, y: Sym | undefined) => Sym;

/** Terms and gradients of the mean loss. */
async function lossesOf(
  recorded: LineageCase,
  process: GaussianProcess,
  type: GaussianLossType,
  predict: Predict,
  weights: WeightSource,
): Promise<Readonly<Record<string, Tensor>>> {
  const x0 = recorded.input('x_start');
  const inputs: Record<string, InputSpec> = {
    x0: { dtype: 'float32', shape: x0.shape },
    noise: { dtype: 'float32', shape: x0.shape },
    t: { dtype: 'int64', shape: [x0.shape[0] ?? 1] },
  };
  const y = recorded.inputs.get('y');
  if (y) inputs['y'] = { dtype: 'int64', shape: y.shape };
  const graph = trace(inputs, (given, p) => {
    const named = given as Record<string, Sym>;
    const of = { x0: named['x0'] as Sym, noise: named['noise'] as Sym, t: named['t'] as Sym };
    const noisy = noisyPictures(process, of);
    const output = predict(p, noisy, toldTimesteps(process, of.t), named['y']);
    const { loss, mse, vb } = gaussianLoss(process, type, of, noisy, output);
    return { loss: mean(loss), terms: loss, ...(mse ? { mse } : {}), ...(vb ? { vb } : {}) };
  });
  const names = graph.parameters.map(({ name }) => name);
  const program = await compileGraph(gradients(graph, 'loss', names), weights);
  const made = await program.run({
    x0,
    noise: recorded.input('noise'),
    t: recorded.tensor('t'),
    ...(y ? { y } : {}),
  });
  await program.dispose();
  const { loss: _, terms, ...others } = made;
  return { ...others, loss: terms as Tensor };
}

/** sum over channels of weight · x, a bias, and a slope in time. */
const linear =
  (channels: number): Predict =>
  (p, x, told) => {
    const out = channels;
    const [batch = 1, inner = 1, height = 1, width = 1] = x.shape;
    const weight = reshape(p.get('weight', [out, inner as number]), [1, out, inner, 1, 1]);
    const mixed = sum(mul(reshape(x, [batch, 1, inner, height, width]), weight), [2]);
    const time = mul(reshape(told, [batch, 1, 1, 1]), 1 / 1000);
    return add(
      add(mixed, reshape(p.get('bias', [out]), [1, out, 1, 1])),
      mul(time, reshape(p.get('slope', [out]), [1, out, 1, 1])),
    );
  };

const byKind = async function* (recorded: LineageCase): AsyncGenerator<Comparison> {
  const { T: timesteps, schedule, rescale: rescaleTimesteps = false } = recorded.settings;
  const respacing = recorded.settings.respacing ?? recorded.settings.timestep_respacing ?? '';
  const source = recorded.weights();
  const kinds = new Set([...recorded.outputs.keys()].map((name) => name.split('.').slice(0, 3).join('.')));
  for (const kind of kinds) {
    const [type, variance, mean] = kind.split('.') as [GaussianLossType, VarianceType, MeanType];
    const own = new Map<string, Tensor>();
    for (const part of ['weight', 'bias', 'slope']) own.set(part, await source.read(`${variance}.${part}`));
    const process = gaussianProcess({ timesteps, schedule, respacing, rescaleTimesteps, mean, variance });
    const channels = own.get('bias')?.shape[0] ?? 3;
    const made = await lossesOf(recorded, process, type, linear(channels), memoryWeights(own));
    for (const name of recorded.outputs.keys())
      if (name.startsWith(`${kind}.`)) yield recorded.compare(name, made[name.slice(kind.length + 1)]);
  }
};

const ofNetwork = async function* (recorded: LineageCase, raw: RecordedCase): AsyncGenerator<Comparison> {
  const from = String(recorded.row.weights_from).split('/').at(-2);
  const index: Loose = JSON.parse(readFileSync(join(raw.setFolder, 'index.json'), 'utf8'));
  const settings = index.cases.find((row: Loose) => row.name === from).settings;
  const config = unetConfigSchema.parse({ num_heads: 1, ...settings, kind: 'unet' });
  const process = gaussianProcess({
    timesteps: recorded.settings.T,
    schedule: recorded.settings.schedule,
    respacing: recorded.settings.respacing ?? recorded.settings.timestep_respacing ?? '',
    variance: recorded.settings.variance ?? 'learned_range',
  });
  const predict: Predict = (p, x, told, y) => unet(p, config, { x, timesteps: told, context: undefined, y });
  const made = await lossesOf(recorded, process, 'rescaled_mse', predict, recorded.weights());
  for (const name of recorded.outputs.keys()) {
    if (name !== 'grad_norms') {
      yield recorded.compare(name, made[name]);
      continue;
    }
    const names = recorded.row.grad_norms_of as readonly string[];
    const norms = names.map((parameter) => {
      const { data } = made[`grad.${parameter}`] as Tensor;
      return Math.sqrt(Array.from(data, Number).reduce((total, value) => total + value * value, 0));
    });
    yield recorded.compare(name, float32([norms.length], norms));
  }
  yield compareExactly('parameters', Object.keys(made).filter((name) => name.startsWith('grad.')).length > 0, true);
};

export const reader: Reader = {
  set: 'lineage',
  reads: ({ exercises, reference }) =>
    /guided-diffusion/.test(String(reference)) && /^training_losses of/.test(String(exercises)),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    if (recorded.outputs.has('grad_norms')) yield* ofNetwork(recorded, raw);
    else yield* byKind(recorded);
  },
};
