/**
 * ComfyUI's folder `models` with models of Stable Diffusion 1, 2 and SDXL, and the files that go with each. Every number is zero, and only the
 * widths by which a family shows are those of the published models: files are small, and a refusal does not depend on weights.
 */

import { mkdirSync, openSync, closeSync, ftruncateSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { conditionerParts } from '../../src/config/conditioner-parts.ts';
import { modelSection } from '../../src/config/ldm-config.ts';
import type { NetworkConfig } from '../../src/config/network-config.ts';
import { wholeModel } from '../../src/config/whole-model.ts';
import { networkParameters } from '../../src/models/index.ts';
import { elementCount, type Shape } from '../../src/tensor/tensor.ts';
import { tinyImageEncoder } from '../control-models.ts';

export type FamilyName = 'v1' | 'v2' | 'xl';
export const familyNames: readonly FamilyName[] = ['v1', 'v2', 'xl'];
type Shapes = Readonly<Record<string, Shape>>;

/** How errors name each family, and its models. */
export const said = {
  v1: ['Stable Diffusion 1', 'a Stable Diffusion 1 model'],
  v2: ['Stable Diffusion 2', 'a Stable Diffusion 2 model'],
  xl: ['SDXL', 'an SDXL model'],
} as const;

const context = { v1: 768, v2: 1024, xl: 2048 } as const;

/** A safetensors file of zeros. */
function writeZeros(path: string, shapes: Shapes, metadata?: Readonly<Record<string, string>>): void {
  let offset = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 2 * elementCount(shape);
    header[name] = { dtype: 'F16', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, 'w');
  writeSync(file, new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer));
  writeSync(file, text);
  ftruncateSync(file, 8 + text.length + offset);
  closeSync(file);
}

const text = (width: number, more: object) => ({
  vocab_size: 600,
  hidden_size: width,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 8,
  ...more,
});
const stage = {
  target: 'ldm.models.autoencoder.AutoencoderKL',
  params: {
    embed_dim: 4,
    lossconfig: { target: 'torch.nn.Identity' },
    ddconfig: {
      double_z: true,
      z_channels: 4,
      resolution: 16,
      in_channels: 3,
      out_ch: 3,
      ch: 32,
      ch_mult: [1, 1],
      num_res_blocks: 1,
      attn_resolutions: [],
      dropout: 0,
    },
  },
};
const unet = (family: FamilyName, more: object = {}) => ({
  target: `${family === 'xl' ? 'sgm' : 'ldm'}.modules.diffusionmodules.openaimodel.UNetModel`,
  params: {
    in_channels: 4,
    out_channels: 4,
    model_channels: 32,
    num_res_blocks: 1,
    attention_resolutions: [1],
    channel_mult: [1, 1],
    use_spatial_transformer: true,
    context_dim: context[family],
    transformer_depth: 1,
    ...(family === 'v1' ? { num_heads: 4 } : { num_head_channels: 16, use_linear_in_transformer: true }),
    ...more,
  },
});
const openClip = (family: 'v1' | 'v2') => ({
  target: 'ldm.models.diffusion.ddpm.LatentDiffusion',
  params: {
    linear_start: 0.00085,
    linear_end: 0.012,
    timesteps: 1000,
    channels: 4,
    image_size: 8,
    conditioning_key: 'crossattn',
    scale_factor: 0.18215,
    unet_config: unet(family),
    first_stage_config: stage,
    cond_stage_config:
      family === 'v1'
        ? { target: 'ldm.modules.encoders.modules.FrozenCLIPEmbedder', params: text(768, {}) }
        : {
            target: 'ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder',
            params: text(1024, { layer: 'penultimate', num_hidden_layers: 2 }),
          },
  },
});
const sizes = ['original_size_as_tuple', 'crop_coords_top_left', 'target_size_as_tuple'];
const xl = {
  target: 'sgm.models.diffusion.DiffusionEngine',
  params: {
    scale_factor: 0.13025,
    denoiser_config: {
      target: 'sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser',
      params: { scaling_config: { target: 'sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling' } },
    },
    network_config: unet('xl', { num_classes: 'sequential', adm_in_channels: 1280 + 6 * 256 }),
    conditioner_config: {
      target: 'sgm.modules.GeneralConditioner',
      params: {
        emb_models: [
          {
            input_key: 'txt',
            target: 'sgm.modules.encoders.modules.FrozenCLIPEmbedder',
            params: text(768, { layer: 'hidden', layer_idx: 1, num_hidden_layers: 2 }),
          },
          {
            input_key: 'txt',
            target: 'sgm.modules.encoders.modules.FrozenOpenCLIPEmbedder2',
            params: text(1280, {
              arch: 'ViT-bigG-14',
              layer: 'penultimate',
              always_return_pooled: true,
              legacy: false,
              num_hidden_layers: 2,
              projection_dim: 1280,
            }),
          },
          ...sizes.map((input_key) => ({
            input_key,
            target: 'sgm.modules.encoders.modules.ConcatTimestepEmbedderND',
            params: { outdim: 256 },
          })),
        ],
      },
    },
    first_stage_config: stage,
  },
};

const documents = { v1: { model: openClip('v1') }, v2: { model: openClip('v2') }, xl: { model: xl } };

const shapesOf = (network: NetworkConfig, prefix: string): [string, Shape][] =>
  networkParameters(network).map(({ name, shape }) => [prefix + name, shape]);

/** The shapes of a whole model, and of the control network that copies half of its UNet. */
function modelShapes(family: FamilyName): { readonly model: Shapes; readonly controlNet: Shapes } {
  const config = wholeModel(modelSection(documents[family], family), family);
  const conditions = [...conditionerParts(config.cond_stage_config).values()].flatMap((network, i) =>
    shapesOf(network, family === 'xl' ? `conditioner.embedders.${i}.` : 'cond_stage_model.'),
  );
  const denoiser = shapesOf(config.unet_config, '');
  const half = denoiser.filter(([name]) => !/^(output_blocks|out)\./.test(name));
  return {
    model: Object.fromEntries([
      ...denoiser.map(([name, shape]) => [`model.diffusion_model.${name}`, shape] as const),
      ...shapesOf(config.first_stage_config, 'first_stage_model.'),
      ...conditions,
    ]),
    controlNet: {
      ...Object.fromEntries(half.map(([name, shape]) => [`control_model.${name}`, shape])),
      'control_model.input_hint_block.0.weight': [16, 3, 3, 3],
      'control_model.input_hint_block.2.weight': [32, 16, 3, 3],
      'control_model.zero_convs.0.0.weight': [32, 32, 1, 1],
    },
  };
}

const lora: Readonly<Record<FamilyName, string>> = {
  v1: 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k',
  v2: 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k',
  xl: 'lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k',
};
const loraShapes = (family: FamilyName): Shapes => ({
  [`${lora[family]}.lora_down.weight`]: [4, context[family]],
  [`${lora[family]}.lora_up.weight`]: [32, 4],
});
const embeddingShapes: Readonly<Record<FamilyName, Shapes>> = {
  v1: { emb_params: [2, 768] },
  v2: { emb_params: [2, 1024] },
  xl: { clip_l: [2, 768], clip_g: [2, 1280] },
};
const ipAdapterShapes = (family: FamilyName): Shapes => ({
  'image_proj.proj.weight': [4 * context[family], 32],
  'image_proj.proj.bias': [4 * context[family]],
  'image_proj.norm.weight': [context[family]],
  'image_proj.norm.bias': [context[family]],
  ...Object.fromEntries(
    [1, 3, 5, 7].flatMap((index) =>
      ['k', 'v'].map((one) => [`ip_adapter.${index}.to_${one}_ip.weight`, [32, context[family]]] as const),
    ),
  ),
});
const hypernetworkShapes = (family: FamilyName): Shapes =>
  Object.fromEntries(
    [0, 1].map((i) => [`${context[family]}/${i}/linear.0.weight`, [context[family], context[family]]] as const),
  );
/** The first level of a T2I-Adapter for SDXL takes a quarter of the side. */
const t2iAdapterShapes = (family: 'v1' | 'xl'): Shapes => ({
  'conv_in.weight': [32, family === 'xl' ? 768 : 192, 3, 3],
  'conv_in.bias': [32],
  ...Object.fromEntries(
    [0, 1, 2, 3].flatMap((block) =>
      [1, 2].flatMap((i) => [
        [`body.${block}.block${i}.weight`, [32, 32, i === 1 ? 3 : 1, i === 1 ? 3 : 1]] as const,
        [`body.${block}.block${i}.bias`, [32]] as const,
      ]),
    ),
  ),
});

/** The image encoder of the IP-Adapters. */
const imageEncoder = tinyImageEncoder(32);

/** Fills `folder/models/…` as ComfyUI has it. Each file is called by its family: `loras/v1.safetensors`. */
export function writeFamilies(folder: string): void {
  writeZeros(join(folder, 'models/clip_vision/clip_tiny.safetensors'), Object.fromEntries(shapesOf(imageEncoder, '')));
  for (const family of familyNames) {
    const write = (kind: string, shapes: Shapes, ...more: [Record<string, string>?]): void =>
      writeZeros(join(folder, 'models', kind, `${family}.safetensors`), shapes, ...more);
    const { model, controlNet } = modelShapes(family);
    write('checkpoints', model);
    writeFileSync(join(folder, `models/checkpoints/${family}.yaml`), stringify(documents[family]));
    write('loras', loraShapes(family));
    write('embeddings', embeddingShapes[family]);
    write('hypernetworks', hypernetworkShapes(family));
    write('controlnet', controlNet);
    const architecture = {
      v1: 'stable-diffusion-v1',
      v2: 'stable-diffusion-v2-768-v',
      xl: 'stable-diffusion-xl-v1-base',
    };
    write(
      'vae',
      Object.fromEntries(
        Object.entries(model).flatMap(([name, shape]) =>
          name.startsWith('first_stage_model.') ? [[name.slice('first_stage_model.'.length), shape] as const] : [],
        ),
      ),
      { 'modelspec.architecture': `${architecture[family]}/vae` },
    );
    writeZeros(join(folder, `models/ipadapter/ip-adapter-${family}.safetensors`), ipAdapterShapes(family));
    if (family !== 'v2')
      writeZeros(join(folder, `models/controlnet/t2i-${family}.safetensors`), t2iAdapterShapes(family));
  }
}
