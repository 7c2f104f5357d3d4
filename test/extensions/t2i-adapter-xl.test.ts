/**
 * SDXL's T2I-Adapters: how a file is recognised, and the features and the UNet with them as diffusers 0.42.1 computes them
 * (`T2IAdapter` with `full_adapter_xl`, `UNet2DConditionModel`; weights of `randomWeights` with the seeds below).
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openControlFile } from '../../src/checkpoints/control-file.ts';
import { detectNetwork } from '../../src/checkpoints/detect.ts';
import { t2iAdapterFromDiffusers } from '../../src/config/hugging-face-control.ts';
import { type T2IAdapterConfig, unetConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { adapterExtension } from '../../src/extensions/adapter.ts';
import { NetworkSet } from '../../src/model/network-set.ts';
import { scale } from '../../src/tensor/arithmetic.ts';
import { expectDType } from '../../src/tensor/tensor.ts';
import { withNames } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { randomWeights } from '../model/random-model.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const unet = unetConfigSchema.parse({
  kind: 'unet',
  in_channels: 4,
  out_channels: 4,
  model_channels: 32,
  num_res_blocks: 1,
  attention_resolutions: [2, 4],
  channel_mult: [1, 1, 2],
  num_head_channels: 16,
  num_heads: -1,
  adm_in_channels: 320,
  use_spatial_transformer: true,
  transformer_depth: [1, 2, 1],
  use_linear_in_transformer: true,
  context_dim: 192,
  legacy: false,
});
const config = t2iAdapterFromDiffusers(
  { adapter_type: 'full_adapter_xl', in_channels: 1, channels: [32, 32, 64, 64], num_res_blocks: 2 },
  'config.json',
);

/** The names that diffusers gives an adapter's tensors. */
const diffusersNames = (source: WeightSource): WeightSource =>
  withNames(source, (name) => {
    const [, index, rest] = /^body\.(\d+)\.(.*)$/.exec(name) ?? [];
    if (index === undefined) return name;
    const level = Math.floor(Number(index) / 2);
    return rest?.startsWith('in_conv') ? `body.${level}.${rest}` : `body.${level}.resnets.${Number(index) % 2}.${rest}`;
  });

for (const [layout, named] of [
  ['TencentARC', (source: WeightSource) => source],
  ['diffusers', diffusersNames],
] as const)
  test(`an adapter for SDXL is recognised by its inputs, in ${layout}'s names`, () => {
    for (const [channels, inputs] of [
      [1, 256],
      [3, 768],
    ] as const) {
      const wanted: T2IAdapterConfig = { ...config, in_channels: channels };
      const file = named(randomWeights(wanted));
      assert.equal(file.entries.get('conv_in.weight')?.shape[1], inputs);
      assert.deepEqual(detectNetwork(file).config, wanted);
      const opened = openControlFile(file, { label: 'model', config: unet, weights: randomWeights(unet) });
      assert.deepEqual(opened.config, wanted);
    }
  });

test('its features, and the UNet with them, are those of diffusers', async () => {
  const folder = reference('families/t2i_adapter_xl');
  const [inputs, wanted] = ['inputs', 'outputs'].map((name) => readTensors(join(folder, `${name}.safetensors`)));
  assert.ok(inputs && wanted);
  await using set = new NetworkSet({
    label: 'case',
    engine,
    networks: new Map([
      ['adapter', { config, weights: randomWeights(config, 7) }],
      ['unet', { config: unet, weights: randomWeights(unet, 5), extensions: [adapterExtension(config)] }],
    ]),
  });
  const compare = (output: string, got: ReturnType<typeof pick> | undefined): void => {
    assert.ok(got);
    compareTensor(
      { part: 'extensions', case: 't2i_adapter_xl', output, reference: 'diffusers 0.42.1', tolerance: 2e-5 },
      got,
      pick(wanted, output),
    );
  };
  const features = await set.run(
    { network: 'adapter', outputs: set.outputs({ network: 'adapter' }) },
    { image: pick(inputs, 'image') },
  );
  for (const level of [0, 1, 2, 3]) compare(`feature.${level}`, features[`adapter.${level}`]);
  const given = Object.fromEntries(['x', 'timesteps', 'context', 'y'].map((name) => [name, pick(inputs, name)]));
  for (const [output, factor] of [
    ['plain', 0],
    ['unet_out', 1],
    ['unet_out.scaled', 0.6],
  ] as const) {
    const added = Object.entries(features).map(([name, value]) => [
      name,
      scale(expectDType(value, 'float32'), Math.fround(factor)),
    ]);
    const { out } = await set.run({ network: 'unet', outputs: ['out'] }, { ...given, ...Object.fromEntries(added) });
    compare(output, out);
  }
});
