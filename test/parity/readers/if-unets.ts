/** DeepFloyd IF's UNets alone: in the original's layout and in diffusers', with every module that was recorded. */

import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { detectNetwork } from '../../../src/checkpoints/detect.ts';
import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import type { IfUNetConfig } from '../../../src/config/network-config.ts';
import { forward } from '../../../src/model/forward.ts';
import { concatenate } from '../../../src/tensor/arithmetic.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import { resizeBilinear } from '../../../src/tensor/resize-bilinear.ts';
import { expectDType, type Tensor } from '../../../src/tensor/tensor.ts';
import { parityEngine } from '../engine.ts';
import { ifWeights } from '../if-weights.ts';
import { type LineageCase, lineageCase } from '../lineage-case.ts';
import { type Comparison, compareExactly, originalOf, type Reader } from '../reader.ts';

/** The modules of the original by their names in diffusers. The output of a level is that of its last block. */
function moduleName(name: string, config: IfUNetConfig): string {
  const blocks = (level: number): number =>
    typeof config.num_res_blocks === 'number' ? config.num_res_blocks : (config.num_res_blocks[level] ?? 0);
  const levels = config.channel_mult.length;
  const [, side, number] = /^(down|up)_blocks\.(\d+)$/.exec(name) ?? [];
  const last = Number(number);
  const sum = (from: number, to: number, more: number): number =>
    Array.from({ length: to - from }, (_, i) => blocks(from + i) + more).reduce((total, one) => total + one, 0);
  if (side === 'down') return `input_blocks.${sum(0, last + 1, 1) - (last === levels - 1 ? 1 : 0)}`;
  if (side === 'up') return `output_blocks.${sum(levels - 1 - last, levels, 1) - 1}`;
  const names: Readonly<Record<string, string>> = {
    time_embedding: 'time_embed',
    class_embedding: 'aug_proj',
    add_embedding: 'encoder_pooling',
    encoder_hid_proj: 'encoder_proj',
    'mid_block.attentions.0': 'middle_block.1',
    mid_block: 'middle_block',
  };
  const found = names[name];
  if (!found) throw new Error(`the module ${name} is not known`);
  return found;
}

const swapped = (value: Tensor<'float32'>): Tensor<'float32'> => {
  const half = value.data.length / 2;
  return { ...value, data: Float32Array.from([...value.data.subarray(half), ...value.data.subarray(0, half)]) };
};

async function* networks(recorded: LineageCase): AsyncGenerator<Comparison> {
  const config = huggingFaceNetwork(
    { _class_name: 'UNet2DConditionModel', ...recorded.json('config.json') },
    recorded.name,
  ) as IfUNetConfig;
  const original = recorded.weights('original');
  const diffusers = await ifWeights(recorded, '.');
  const inputs: Record<string, Tensor> = {
    x: recorded.input('sample'),
    timesteps: toFloat32(recorded.tensor('timesteps')),
    context: recorded.input('text'),
    ...(config.noise_level ? { y: recorded.tensor('class_labels') } : {}),
  };
  const run = (weights: typeof original, given: Readonly<Record<string, Tensor>>, taps: readonly string[] = []) =>
    forward({ engine: parityEngine(), config, weights, inputs: new Map(Object.entries(given)), taps });
  const tapped = [...recorded.outputs.keys()].flatMap((name) => /^intermediate\.(.*)$/.exec(name)?.[1] ?? []);
  const made = await run(
    diffusers,
    inputs,
    tapped.map((name) => moduleName(name, config)),
  );
  yield recorded.compare('out', made.get('out'));
  for (const name of tapped)
    yield recorded.compare(`intermediate.${name}`, made.get(`intermediate.${moduleName(name, config)}`));
  yield recorded.compare('attention_pooling', made.get('intermediate.encoder_pooling'));
  yield recorded.compare('original.out', (await run(original, inputs)).get('out'));
  // The text of the other picture is the style.
  if (recorded.outputs.has('original.style.out'))
    yield recorded.compare(
      'original.style.out',
      (await run(original, { ...inputs, style: swapped(recorded.input('text')) })).get('out'),
    );
  if (recorded.outputs.has('original.upsampled')) {
    const { x } = inputs as { readonly x: Tensor<'float32'> };
    const [b = 0, channels = 0, height = 0, width = 0] = x.shape;
    const enlarged = resizeBilinear(recorded.input('low_res'), height, width, { alignCorners: true });
    yield recorded.compare('original.upsampled', enlarged);
    const size = (channels / 2) * height * width;
    const noisy = Array.from({ length: b }, (_, i) => [...x.data.subarray(2 * i * size, (2 * i + 1) * size)]).flat();
    const own: Tensor<'float32'> = { dtype: 'float32', shape: enlarged.shape, data: Float32Array.from(noisy) };
    const joined = concatenate([own, expectDType(enlarged, 'float32')], 1);
    yield recorded.compare('original.low_res.out', (await run(original, { ...inputs, x: joined })).get('out'));
  }
  const { num_head_channels, att_pool_heads, image_size } = config;
  const found = detectNetwork(original).config;
  yield compareExactly(
    'names and shapes',
    { ...found, num_head_channels, att_pool_heads, image_size },
    {
      ...config,
      output_scale: config.noise_level ? 10_000 / 7071 : 1,
      num_res_blocks: found.kind === 'if_unet' ? found.num_res_blocks : [],
    },
  );
  const names = (source: typeof original) => [...source.entries.keys()].sort();
  yield compareExactly('layout', names(canonicalWeights(diffusers, config).source), names(original));
}

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /deepfloyd_if\.model\.unet/.test(originalOf(row)),
  compare: (raw) => networks(lineageCase(raw)),
};
