/** The Stable Diffusion v1 networks at full size, traced only: every parameter's name and shape, and the time tracing takes. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clipTextConfigSchema, klConfigSchema, type NetworkConfig } from '../../src/config/network-config.ts';
import { networkParameters } from '../../src/models/index.ts';
import { traceUNet } from '../../src/models/unet.ts';
import { processorTime } from '../processor-time.ts';
import { reference } from '../reference.ts';
import { v1UNet as unet } from '../networks.ts';

const kl = klConfigSchema.parse({
  kind: 'kl',
  embed_dim: 4,
  ddconfig: {
    double_z: true,
    z_channels: 4,
    resolution: 256,
    in_channels: 3,
    out_ch: 3,
    ch: 128,
    ch_mult: [1, 2, 4, 4],
    num_res_blocks: 2,
    attn_resolutions: [],
  },
});
const clip = clipTextConfigSchema.parse({
  kind: 'clip_text',
  hidden_size: 768,
  intermediate_size: 3072,
  num_attention_heads: 12,
});

const { keys }: { readonly keys: Readonly<Record<string, { readonly shape: readonly number[] }>> } = JSON.parse(
  readFileSync(reference('networks/full-sd-v1.keys.json'), 'utf8'),
);

const parts: readonly (readonly [prefix: string, config: NetworkConfig, parameters: number])[] = [
  ['model.diffusion_model.', unet, 859_520_964],
  ['first_stage_model.', kl, 83_653_863],
  ['cond_stage_model.', clip, 123_060_480],
];

for (const [prefix, config, count] of parts) {
  test(`${prefix} has the parameters of the published checkpoint, by name and shape`, () => {
    // position_ids is a buffer that numbers the positions.
    const expected = Object.entries(keys).filter(
      ([name]) => name.startsWith(prefix) && !name.endsWith('.position_ids'),
    );
    const declared = networkParameters(config);
    const text = (name: string, shape: readonly number[]): string => `${name} ${shape.join(',')}`;
    assert.deepEqual(
      declared.map(({ name, shape }) => text(prefix + name, shape)).sort(),
      expected.map(([name, { shape }]) => text(name, shape)).sort(),
    );
    assert.equal(
      declared.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
      count,
    );
  });
}

test('the full UNet is traced in milliseconds', () => {
  traceUNet(unet);
  const milliseconds = processorTime(() => assert.equal(traceUNet(unet).outputs.length, 1));
  assert.ok(milliseconds < 1000, `${milliseconds} ms of processor time`);
});
