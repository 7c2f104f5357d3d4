/** guided-diffusion's networks alone and in its process: forward passes, classifiers with their gradients, guided steps, upsamplers, bits per dimension. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encoderUNetConfigSchema, unetConfigSchema } from '../../../src/config/network-config.ts';
import {
  bitsPerDimension,
  encodeGaussian,
  gaussianProcess,
  type GaussianNetwork,
  type GaussianStep,
  type Pixels,
  sampleGaussian,
} from '../../../src/diffusion/gaussian/index.ts';
import { tensorToImages } from '../../../src/image/image-tensor.ts';
import { forward } from '../../../src/model/forward.ts';
import { traceClassifierGuide } from '../../../src/models/classifier-guide.ts';
import { traceUNet } from '../../../src/models/unet.ts';
import { concatenate } from '../../../src/tensor/arithmetic.ts';
import { resizeBilinear } from '../../../src/tensor/resize-bilinear.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { compileGraph, type LineageCase, lineageCase, type Loose, timestepsOf } from '../lineage-case.ts';
import type { Comparison, RecordedCase, Reader } from '../reader.ts';
import { linearNetwork } from '../linear-network.ts';

type Compare = (recorded: LineageCase, raw: RecordedCase) => AsyncIterable<Comparison>;

/** NHWC. */
function bytesOf(x: Pixels): Tensor {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  const data = tensorToImages(x, 'adm').flatMap((image) => [...image.data]);
  return { dtype: 'uint8', shape: [n, h, w, c], data: Uint8Array.from(data) };
}

/** Arguments of UNetModel as our configuration. */
function unetOf(given: Loose, inChannels = given.in_channels) {
  const { num_classes = null, ...others } = given;
  return unetConfigSchema.parse({ num_heads: 1, ...others, in_channels: inChannels, kind: 'unet', num_classes });
}

function classifierOf({ classifier_scale: _, num_classes: __, ...given }: Loose) {
  return encoderUNetConfigSchema.parse({ ...given, kind: 'encoder_unet' });
}

/** The arguments of the network that the case's weights are of: of the case itself, or of the one that made them. */
function modelSettings(recorded: LineageCase, raw: RecordedCase): Loose {
  const { model } = recorded.row;
  if (typeof model === 'object') return model;
  const from = String(recorded.row.weights_from).split('/').at(-2);
  const index: Loose = JSON.parse(readFileSync(join(raw.setFolder, 'index.json'), 'utf8'));
  const found = index.cases.find((row: Loose) => row.name === from);
  if (!found) throw new Error(`${recorded.name}: the settings of ${from} are not there`);
  return found.settings;
}

const networks: Compare = async function* (recorded) {
  const inputs = new Map(recorded.inputs);
  const t = pick(recorded.inputs, 'timesteps');
  inputs.set('timesteps', timestepsOf(Array.from(t.data, Number)));
  const got = await forward({
    engine: parityEngine(),
    config: unetOf(recorded.settings),
    weights: recorded.weights(),
    inputs,
    taps: [...recorded.outputs.keys()].flatMap((name) => /^intermediate\.(.*)$/.exec(name)?.[1] ?? []),
  });
  for (const name of recorded.outputs.keys()) yield recorded.compare(name, got.get(name));
};

/** The small picture as the upsampler is given it: x with the enlarged picture behind its channels. */
const withLowRes = (x: Pixels, lowRes: Pixels): Pixels =>
  concatenate([x, resizeBilinear(lowRes, x.shape[2] ?? 0, x.shape[3] ?? 0)], 1);

const upsamplers: Compare = async function* (recorded) {
  const config = unetOf(recorded.settings, 2 * recorded.settings.in_channels);
  const program = await compileGraph(traceUNet(config), recorded.weights());
  const x = withLowRes(recorded.input('x'), recorded.input('low_res'));
  yield recorded.compare('network_input', x);
  const { out } = await program.run({
    x,
    timesteps: timestepsOf(Array.from(recorded.tensor('timesteps').data, Number)),
    y: recorded.tensor('y'),
  });
  yield recorded.compare('out', out);
  await program.dispose();
};

const classifiers: Compare = async function* (recorded) {
  const program = await compileGraph(traceClassifierGuide(classifierOf(recorded.settings)), recorded.weights());
  const made = await program.run({
    x: recorded.input('x'),
    timesteps: timestepsOf(Array.from(recorded.tensor('timesteps').data, Number)),
    y: recorded.tensor('y'),
  });
  const gradient = expectDType(made['grad.x'] as Tensor, 'float32');
  yield recorded.compare('logits', made['logits']);
  yield recorded.compare('log_probs', made['log_probs']);
  yield recorded.compare('cond_fn', scaled(gradient, recorded.settings.classifier_scale));
  await program.dispose();
};

const scaled = (value: Pixels, factor: number): Pixels => ({ ...value, data: value.data.map((v) => v * factor) });

/** The network of a case as a function of x and what it is told. */
async function networkOf(recorded: LineageCase, raw: RecordedCase) {
  const settings = modelSettings(recorded, raw);
  const lowRes = recorded.inputs.has('low_res') ? recorded.input('low_res') : undefined;
  const program = await compileGraph(
    traceUNet(unetOf(settings, (lowRes ? 2 : 1) * settings.in_channels)),
    recorded.weights(),
  );
  const y = recorded.inputs.get('y');
  const network: GaussianNetwork = async (x, told) => {
    const inputs: Record<string, Tensor> = { x: lowRes ? withLowRes(x, lowRes) : x, timesteps: timestepsOf(told) };
    if (y) inputs['y'] = y;
    return expectDType((await program.run(inputs))['out'] as Tensor, 'float32');
  };
  return { network, dispose: () => program.dispose() };
}

async function guideOf(recorded: LineageCase) {
  const { classifier, classifier_scale } = recorded.settings;
  if (!classifier) return undefined;
  const program = await compileGraph(
    traceClassifierGuide(classifierOf(classifier)),
    recorded.weights('classifier_weights'),
  );
  const y = recorded.tensor('y');
  return {
    guide: async (x: Pixels, told: readonly number[]): Promise<Pixels> => {
      const made = await program.run({ x, timesteps: timestepsOf(told), y });
      return scaled(expectDType(made['grad.x'] as Tensor, 'float32'), classifier_scale);
    },
    dispose: () => program.dispose(),
  };
}

function processOf({ settings }: LineageCase) {
  return gaussianProcess({
    timesteps: settings.T,
    schedule: settings.schedule,
    respacing: settings.timestep_respacing ?? settings.respacing ?? '',
    rescaleTimesteps: settings.rescale ?? false,
    mean: settings.mean ?? 'epsilon',
    variance: settings.variance ?? 'learned_range',
  });
}

const stepValues = (step: GaussianStep): Readonly<Record<string, Pixels | undefined>> => ({
  mean: step.mean,
  variance: step.variance,
  log_variance: step.logVariance,
  pred_xstart: step.x0,
  sample: step.sample,
  gradient: step.gradient,
  guided_pred_xstart: step.guidedX0,
});

function* compareSteps(recorded: LineageCase, steps: readonly GaussianStep[], prefix = ''): Generator<Comparison> {
  for (const name of recorded.outputs.keys()) {
    const found = new RegExp(`^${prefix.replaceAll('.', '\\.')}step(\\d+)\\.(\\w+)$`).exec(name);
    const step = found && steps[Number(found[1])];
    if (step) yield recorded.compare(name, stepValues(step)[found[2] as string]);
  }
}

const sampling: Compare = async function* (recorded, raw) {
  const { network, dispose } = await networkOf(recorded, raw);
  const guided = await guideOf(recorded);
  const { settings } = recorded;
  const isDdim = settings.eta !== undefined || /ddim/i.test(String(recorded.row.exercises));
  const steps: GaussianStep[] = [];
  const run = sampleGaussian(processOf(recorded), network, recorded.input('x_T'), {
    method: isDdim ? 'ddim' : 'ddpm',
    eta: settings.eta ?? 0,
    clip: settings.clip_denoised ?? true,
    noise: () => recorded.noise(steps.length),
    guide: guided?.guide,
  });
  for await (const step of run) steps.push(step);
  yield* compareSteps(recorded, steps);
  const told: Tensor = {
    dtype: 'int64',
    shape: [steps.length, steps[0]?.told.length ?? 0],
    data: BigInt64Array.from(steps.flatMap(({ told: row }) => row.map((t) => BigInt(Math.round(t))))),
  };
  for (const name of ['model_timesteps', 'classifier_timesteps']) {
    const want = recorded.outputs.get(name);
    if (want)
      yield recorded.compare(
        name,
        want.dtype === 'int64' ? told : { ...timestepsOf(steps.flatMap((s) => s.told)), shape: told.shape },
      );
  }
  const last = steps.at(-1);
  if (recorded.outputs.has('bytes') && last) yield recorded.compare('bytes', bytesOf(last.sample));
  await dispose();
  await guided?.dispose();
};

const reverse: Compare = async function* (recorded, raw) {
  const { network, dispose } = await networkOf(recorded, raw);
  let step = 0;
  for await (const { sample, x0 } of encodeGaussian(processOf(recorded), network, recorded.input('x0'))) {
    yield recorded.compare(`step${step}.sample`, sample);
    yield recorded.compare(`step${step}.pred_xstart`, x0);
    step++;
  }
  await dispose();
};

const parametrisations: Compare = async function* (recorded) {
  // "denoised_fn x -> 0.5 x + 0.1, DDIM eta 0.3"
  const [, slope, sign, offset, eta] =
    /denoised_fn x -> (\S+) x ([+-]) (\S+), DDIM eta ([\d.]+)/.exec(recorded.row.exercises) ?? [];
  if (!eta) throw new Error('the runs are not stated');
  const added = Number(offset) * (sign === '-' ? -1 : 1);
  const kinds = new Set([...recorded.outputs.keys()].map((name) => name.split('.').slice(0, 2).join('.')));
  for (const kind of kinds) {
    const [mean, variance] = kind.split('.') as [Loose, Loose];
    const base = { ...processOf(recorded), mean, variance };
    const network = linearNetwork(recorded, variance);
    const run = async (options: Loose): Promise<GaussianStep[]> => {
      const steps: GaussianStep[] = [];
      const noise = (): Pixels => recorded.noise(steps.length);
      for await (const step of sampleGaussian(base, network, recorded.input('x_T'), { noise, ...options }))
        steps.push(step);
      return steps;
    };
    yield* compareSteps(recorded, await run({}), `${kind}.`);
    yield* compareSteps(recorded, await run({ clip: false }), `${kind}.unclipped.`);
    const denoised = (x0: Pixels): Pixels => ({ ...x0, data: x0.data.map((value) => Number(slope) * value + added) });
    yield* compareSteps(recorded, await run({ denoised }), `${kind}.denoised_fn.`);
    const name = `${kind}.ddim.sample`;
    if (recorded.outputs.has(name))
      yield recorded.compare(name, (await run({ method: 'ddim', eta: Number(eta) })).at(-1)?.sample);
  }
};

const bits: Compare = async function* (recorded) {
  const kinds = new Set([...recorded.outputs.keys()].map((name) => name.split('.').slice(0, 2).join('.')));
  for (const kind of kinds) {
    const [clipped, variance] = kind.split('.') as [string, Loose];
    let draws = 0;
    const made = await bitsPerDimension(
      { ...processOf(recorded), variance },
      linearNetwork(recorded, variance),
      recorded.input('x_start'),
      { clip: clipped === 'clipped', noise: () => recorded.noise(draws++) },
    );
    const rows = (values: readonly (readonly number[])[]): Tensor =>
      float32([values.length, values[0]?.length ?? 0], values.flat());
    yield recorded.compare(`${kind}.vb`, rows(made.vb));
    yield recorded.compare(`${kind}.mse`, rows(made.epsError));
    yield recorded.compare(`${kind}.xstart_mse`, rows(made.x0Error));
    yield recorded.compare(`${kind}.prior_bpd`, float32([made.prior.length], [...made.prior]));
    yield recorded.compare(`${kind}.total_bpd`, float32([made.total.length], [...made.total]));
  }
};

const compares: readonly (readonly [RegExp, RegExp, Compare])[] = [
  [/guided_diffusion\.unet\.UNetModel/, /./, networks],
  [/guided_diffusion\.unet\.SuperResModel/, /./, upsamplers],
  [/guided_diffusion\.unet\.EncoderUNetModel/, /./, classifiers],
  [/guided-diffusion/, /^ddim_reverse_sample/, reverse],
  [
    /guided-diffusion/,
    /^(classifier guidance|p_sample_loop|ddim_sample_loop|clip_denoised False|super_res_sample: p_sample)/,
    sampling,
  ],
  [/guided-diffusion/, /^every ModelMeanType/, parametrisations],
  [/guided-diffusion/, /^calc_bpd_loop/, bits],
];

const matching = (row: Loose): readonly Compare[] =>
  compares.flatMap(([reference, what, compare]) =>
    reference.test(String(row.reference)) && what.test(String(row.exercises)) ? [compare] : [],
  );

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => matching(row).length > 0,
  async *compare(raw) {
    for (const compare of matching(raw.row)) yield* compare(lineageCase(raw), raw);
  },
};
