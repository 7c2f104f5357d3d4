/** The YAML that is written for a model says what its configuration says: SDXL's and the refiner's in sgm's form, Stable Diffusion 2's conditions on an image. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { compVisWeights } from '../../src/checkpoints/convert-layout.ts';
import { composedConfigSchema } from '../../src/config/composed-conditioner.ts';
import { yamlOf } from '../../src/config/ldm-yaml.ts';
import type { LatentDiffusionConfig } from '../../src/config/latent-diffusion-config.ts';
import { wholeModel } from '../../src/config/whole-model.ts';
import { modelSection } from '../../src/config/ldm-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { smallText } from '../networks.ts';
const big = smallText({
  hidden_act: 'gelu',
  pad_token_id: 0,
  pooled_output: true,
  with_projection: true,
  projection_dim: 8,
});
const sizes = { kind: 'sizes', fields: ['original', 'crop', 'target'], width: 4 };

/** What a model's YAML is read as. */
function read(config: LatentDiffusionConfig): LatentDiffusionConfig {
  const document = parseYaml(yamlOf(config) ?? '', 'the YAML');
  return wholeModel(modelSection(document, 'the YAML'), 'the YAML', {});
}

const parts = ({
  unet_config,
  first_stage_config,
  cond_stage_config,
  image_condition,
  ...rest
}: LatentDiffusionConfig) => ({
  unet: { ...unet_config, image_size: 0, legacy: 0 },
  first_stage_config,
  cond_stage_config,
  image_condition,
  parameterization: rest.parameterization,
  scale_factor: rest.scale_factor,
});

for (const [name, embedders, unet, config] of [
  ['base', [smallText({}), big, sizes], { adm_in_channels: 32 }, {}],
  ['v-prediction', [smallText({}), big, sizes], { adm_in_channels: 32 }, { parameterization: 'v' }],
  ['refiner', [big, { ...sizes, fields: ['original', 'crop', 'aesthetic'] }], { adm_in_channels: 28 }, {}],
] as const)
  test(`SDXL, ${name}: the YAML that is written is read as the same configuration`, () => {
    const condition = composedConfigSchema.parse({ kind: 'composed', embedders, zero_empty: name !== 'refiner' });
    const { config: model } = randomCheckpoint(condition, 32, {
      unet: { ...unet, use_linear_in_transformer: true },
      config: { scale_factor: 0.13025, linear_start: 0.00085, linear_end: 0.012, ...config },
    });
    assert.deepEqual(parts(read(model)), parts(model));
  });

for (const [name, condition, unet] of [
  ['depth', { kind: 'depth', network: null }, { in_channels: 5 }],
  [
    'x4',
    {
      kind: 'low_scale',
      timesteps: 1000,
      beta_schedule: 'linear',
      linear_start: 1e-4,
      linear_end: 2e-2,
      max_noise_level: 300,
    },
    { in_channels: 7, num_classes: 1000 },
  ],
  [
    'unCLIP',
    {
      kind: 'image_embedding',
      timesteps: 900,
      beta_schedule: 'squaredcos_cap_v2',
      linear_start: 1e-4,
      linear_end: 2e-2,
      width: 16,
      network: null,
    },
    { adm_in_channels: 32 },
  ],
] as const)
  test(`Stable Diffusion 2, ${name}: the YAML that is written is read as the same configuration`, () => {
    const tower = { hidden_act: 'gelu', pad_token_id: 0, output_norm: true, bos_token_id: 49406, eos_token_id: 49407 };
    const { config } = randomCheckpoint(smallText(tower), 16, { unet, config: { image_condition: condition } });
    assert.deepEqual(parts(read(config)), parts(config));
  });

test("marker tensors count beside sgm's YAML, which has no place for zero terminal SNR", async () => {
  const embedders = [smallText({}), big, sizes];
  const made = randomCheckpoint(composedConfigSchema.parse({ kind: 'composed', embedders }), 32, {
    unet: { adm_in_channels: 32 },
    config: { parameterization: 'v', rescale_betas_zero_snr: true, linear_start: 0.00085, linear_end: 0.012 },
  });
  const document = parseYaml(yamlOf({ ...made.config, parameterization: 'eps' }) ?? '', 'the YAML');
  const { config } = await openCheckpoint(compVisWeights(made), { config: document });
  assert.equal(config.parameterization, 'v');
  assert.equal(config.rescale_betas_zero_snr, true);
});
