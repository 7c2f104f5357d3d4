/** Controls of a workflow's conditioning: strengths and windows of a chain, T2I-Adapters, and files that do not fit the model. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { controlNetConfigSchema, t2iAdapterConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { scale } from '../../src/tensor/arithmetic.ts';
import { expectDType, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { controlNetOf } from '../../src/workflow/control-net.ts';
import { modelOfNetwork } from '../../src/workflow/load-model.ts';
import { NetworkPool } from '../../src/workflow/network-pool.ts';
import { controlInputs, controlRun } from '../../src/workflow/sampling/control-inputs.ts';
import { regionsOf } from '../../src/workflow/sampling/regions.ts';
import type { ConditioningValue } from '../../src/workflow/values/conditioning.ts';
import type { ControlValue } from '../../src/workflow/values/control.ts';
import { randomWeights } from '../model/random-model.ts';
import { smallUNet } from '../networks.ts';

const config = smallUNet({ channel_mult: [1, 2], num_heads: 2, context_dim: 8, use_spatial_transformer: true });
const netOf = (context: number) =>
  controlNetConfigSchema.parse({
    kind: 'controlnet',
    unet: { ...config, context_dim: context },
    hint_widths: [4, 4, 8, 8, 12, 12, 16],
  });
const adapterConfig = t2iAdapterConfigSchema.parse({
  kind: 't2i_adapter',
  in_channels: 1,
  channels: [32, 64],
  num_res_blocks: 2,
});

const engine = createNodeEngine();
const networks = new NetworkPool(engine);
after(async () => {
  await networks.dispose();
  await engine.dispose();
});
const weights = randomWeights(config);
const model = modelOfNetwork({ config, source: weights, assumed: [], prefix: '', layout: 'compvis' });
const draws = new TorchGenerator(3);
const hint = draws.rand([1, 3, 96, 64], 0, 1);
const area = { height: 8, width: 8, top: 0, left: 0 };
const inputs = {
  x: draws.randn([2, 4, 8, 8]),
  timesteps: float32([2], [400, 400]),
  context: draws.randn([2, 5, 8]),
};
const always = { strength: 1, startPercent: 0, endPercent: 1, hint };
const adapter = await controlNetOf(randomWeights(adapterConfig));
const net = await controlNetOf(randomWeights(netOf(8), 7));

const controlled = (control: ControlValue, percent = 0.5) =>
  controlInputs({ model, networks, controls: controlRun() }, control, {
    network: model.network,
    inputs,
    area,
    sigma: model.sampling.percentToSigma(percent),
  });
const value = (made: Readonly<Record<string, Tensor>>, name: string): Float32Array =>
  expectDType(made[name] as Tensor, 'float32', name).data;

test('an adapter that takes one channel sees the mean of the picture and adds its features by strength', async () => {
  const full = await controlled({ ...adapter, ...always });
  const half = await controlled({ ...adapter, ...always, strength: 0.5 });
  assert.deepEqual(full.inputs['adapter.1']?.shape, [2, 64, 4, 4]);
  assert.ok(value(full.inputs, 'adapter.0').some((one) => one !== 0));
  for (const name of ['adapter.0', 'adapter.1'])
    assert.deepEqual(value(half.inputs, name), scale(expectDType(full.inputs[name] as Tensor, 'float32'), 0.5).data);
  const grey = {
    ...hint,
    data: hint.data.map((_, i) => {
      const plane = 96 * 64;
      return (
        ((hint.data[i % plane] as number) +
          (hint.data[(i % plane) + plane] as number) +
          (hint.data[(i % plane) + 2 * plane] as number)) /
        3
      );
    }),
  };
  const same = await controlled({ ...adapter, ...always, hint: grey });
  const [a, b] = [value(full.inputs, 'adapter.0'), value(same.inputs, 'adapter.0')];
  assert.ok(a.every((one, i) => Math.abs(one - (b[i] as number)) < 1e-5));
  assert.deepEqual(
    full.network.extensions?.map(({ name }) => name),
    ['adapter'],
  );
});

test('two uses of one network in a chain add up, and one whose window is closed adds nothing', async () => {
  const first = { ...net, ...always, strength: 0.5 };
  const both = await controlled({ ...net, ...always, strength: 0.25, previous: first });
  const one = await controlled({ ...net, ...always, strength: 0.75 });
  const [sum, whole] = [value(both.inputs, 'control.middle'), value(one.inputs, 'control.middle')];
  assert.ok(sum.every((part, i) => Math.abs(part - (whole[i] as number)) < 1e-5));
  const late = await controlled({ ...net, ...always, strength: 0.25, startPercent: 0.6, previous: first }, 0.5);
  assert.deepEqual(value(late.inputs, 'control.0'), value((await controlled(first)).inputs, 'control.0'));
  const closed = await controlled({ ...net, ...always, endPercent: 0.2 }, 0.5);
  assert.equal(closed.network, model.network);
  assert.deepEqual(Object.keys(closed.inputs), ['x', 'timesteps', 'context']);
});

test('a ControlNet takes latents whose sides are no multiples of its unit, halved upwards as the UNet halves them', async () => {
  const sigma = model.sampling.percentToSigma(0.5);
  const run = (width: number) =>
    controlInputs(
      { model, networks, controls: controlRun() },
      { ...net, ...always },
      {
        network: model.network,
        inputs: { ...inputs, x: draws.randn([2, 4, 8, width]) },
        area: { ...area, width },
        sigma,
      },
    );
  const { inputs: made } = await run(7);
  assert.deepEqual(made['control.0']?.shape, [2, 32, 8, 7]);
  assert.deepEqual(made['control.middle']?.shape, [2, 64, 4, 4]);
  assert.ok(value(made, 'control.middle').some((one) => one !== 0));
});

test('a ControlNet and an adapter act together', async () => {
  const { network } = await controlled({ ...net, ...always, previous: { ...adapter, ...always } });
  assert.deepEqual(network.extensions?.map(({ name }) => name).sort(), ['adapter', 'control']);
});

test('a ControlNet of another family and a file of another network are refused with the reason', async () => {
  const foreign = await controlNetOf(randomWeights(netOf(16)));
  await assert.rejects(controlled({ ...foreign, ...always }), {
    code: 'weights-mismatch',
    message: /it is a ControlNet for another family of models: its context width is 16, that of random is 8/,
  });
  await assert.rejects(controlNetOf(weights), { code: 'model-unknown', message: /is a UNet alone, not a ControlNet/ });
  const other = memoryWeights(new Map([['some.weight', float32([1], [1])]]), 'some.safetensors');
  await assert.rejects(controlNetOf(other), { code: 'model-unknown' });
});

test('controls of the positive prompt go to the whole entries of the negative one: the last of more than it has', async () => {
  const cond = draws.randn([1, 5, 8]);
  const run = { shape: [1, 4, 8, 8], latent: draws.randn([1, 4, 8, 8]), random: new TorchGenerator(0), seed: 0 };
  const entry = (weight?: number, more: object = {}) => ({
    cond,
    ...(weight !== undefined && { control: { ...adapter, ...always, strength: weight } }),
    control_apply_to_uncond: true,
    ...more,
  });
  const strengths = async (positive: object[], negative: object[]): Promise<(number | undefined)[]> => {
    const prompts = [positive, negative] as unknown as ConditioningValue[];
    return ((await regionsOf(model, prompts, run))[1] ?? []).map(({ control }) => control?.strength);
  };
  assert.deepEqual(await strengths([entry(0.1), entry(0.2)], [entry()]), [0.2]);
  assert.deepEqual(await strengths([entry(0.1), entry(0.2)], [entry(), entry(), entry()]), [0.1, 0.2, undefined]);
  assert.deepEqual(await strengths([entry(0.1)], [entry(0.7), entry()]), [0.7, undefined]);
  const area = [4, 4, 0, 0];
  assert.deepEqual(await strengths([entry(0.1)], [entry(0.7, { area }), entry()]), [0.7, 0.1]);
  assert.deepEqual(await strengths([entry(0.3, { area })], [entry()]), [undefined, 0.3]);
});
