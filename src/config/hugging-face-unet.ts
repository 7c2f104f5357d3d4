/** `config.json` of diffusers' UNet2DConditionModel and UNet2DModel to a `UNetConfig`. */

import { listOf, multiples, refuseOthers } from './hugging-face-fields.ts';
import { type UNetConfig, unetConfigSchema } from './network-config.ts';
import { configError, type Mapping, validated } from './validate.ts';

/** The values of Stable Diffusion v1; others would be a different network. */
const fixed: Readonly<Record<string, readonly unknown[]>> = {
  act_fn: ['silu', 'swish'],
  center_input_sample: [false],
  flip_sin_to_cos: [true],
  freq_shift: [0],
  downsample_padding: [1],
  mid_block_scale_factor: [1],
  norm_eps: [1e-5],
  dual_cross_attention: [false],
  encoder_hid_dim: [],
  encoder_hid_dim_type: [],
  class_embed_type: ['projection'],
  addition_embed_type: ['text_time'],
  resnet_skip_time_act: [false],
  resnet_out_scale_factor: [1],
  time_embedding_type: ['positional'],
  time_embedding_dim: [],
  time_embedding_act_fn: [],
  timestep_post_act: [],
  time_cond_proj_dim: [],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  attention_type: ['default'],
  class_embeddings_concat: [false],
  mid_block_only_cross_attention: [false],
  cross_attention_norm: [],
  mid_block_type: ['UNetMidBlock2DCrossAttn', 'UNetMidBlock2D'],
  add_attention: [true],
  attn_norm_num_groups: [],
};

/** Attention of each block type; the name without `Down` or `Up`. */
const blockTypes: ReadonlyMap<
  string,
  { readonly attends: boolean; readonly residual: boolean; readonly cross: boolean }
> = new Map([
  ['CrossAttnBlock2D', { attends: true, residual: false, cross: true }],
  ['AttnBlock2D', { attends: true, residual: false, cross: false }],
  ['Block2D', { attends: false, residual: false, cross: false }],
  ['ResnetsampleBlock2D', { attends: false, residual: true, cross: false }],
]);

/** Throws `config-invalid`, naming the field that is not supported. */
export function unetFromDiffusers(json: Mapping, what: string): UNetConfig {
  const conditional = json['_class_name'] !== 'UNet2DModel';
  refuseOthers(json, fixed, what);
  const widths = listOf(json, 'block_out_channels', 'number', what);
  const down = listOf(json, 'down_block_types', 'string', what).map((type) => blockType(type, 'Down', what));
  const up = listOf(json, 'up_block_types', 'string', what)
    .map((type) => blockType(type, 'Up', what))
    .toReversed();
  const mirrored = down.every(
    (block, level) => block.attends === up[level]?.attends && block.cross === up[level]?.cross,
  );
  if (down.length !== widths.length || up.length !== widths.length || !mirrored) {
    throw configError(
      `${what}: down_block_types and up_block_types should mirror each other and have one block for each of ${widths.length} levels.`,
    );
  }
  // The downsampler of a level is in its own block, the upsampler to it in the block of the level below.
  const residual = [...down.slice(0, -1), ...up.slice(1)].map((block) => block.residual);
  if (residual.some((value) => value !== residual[0]))
    throw configError(`${what}: blocks with and without residual resampling are mixed.`);
  if (down.some((block) => block.attends && block.cross !== conditional))
    throw configError(`${what}: ${String(json['down_block_types'])} mix cross attention and plain attention.`);
  const takesVector = json['addition_embed_type'] === 'text_time' || json['class_embed_type'] === 'projection';
  if (takesVector && typeof json['projection_class_embeddings_input_dim'] !== 'number')
    throw configError(`${what}: projection_class_embeddings_input_dim, the width of the vector, should be a number.`);
  const crossDim = json['cross_attention_dim'] ?? 1280;
  return validated(
    unetConfigSchema,
    {
      kind: 'unet',
      image_size: json['sample_size'] ?? 32,
      in_channels: json['in_channels'] ?? (conditional ? 4 : 3),
      model_channels: widths[0],
      out_channels: json['out_channels'] ?? (conditional ? 4 : 3),
      num_res_blocks: json['layers_per_block'] ?? 2,
      attention_resolutions: down.flatMap((block, level) => (block.attends ? [2 ** level] : [])),
      dropout: json['dropout'] ?? 0,
      channel_mult: multiples(widths, what),
      num_classes: json['num_class_embeds'] ?? null,
      disable_self_attentions: crossLevels(json, what),
      adm_in_channels: takesVector ? (json['projection_class_embeddings_input_dim'] ?? null) : null,
      use_linear_in_transformer: conditional && json['use_linear_projection'] === true,
      use_scale_shift_norm: json['resnet_time_scale_shift'] === 'scale_shift',
      resblock_updown: residual[0] === true,
      use_spatial_transformer: conditional,
      transformer_depth: depths(json, what),
      context_dim: conditional
        ? Array.isArray(crossDim)
          ? single(json, 'cross_attention_dim', 1280, what)
          : crossDim
        : null,
      legacy: false,
      norm_num_groups: json['norm_num_groups'] ?? 32,
      ...(conditional
        ? heads(json, widths, what)
        : { num_head_channels: json['attention_head_dim'] ?? 8, use_new_attention_order: true }),
    },
    what,
  );
}

/** `only_cross_attention` of each level, as the x4 upscaler has it; its middle block keeps its self-attention. */
function crossLevels(json: Mapping, what: string): readonly boolean[] | null {
  const given = json['only_cross_attention'] ?? false;
  if (given === false) return null;
  if (Array.isArray(given) && given.every((level) => typeof level === 'boolean'))
    return given.includes(true) ? given : null;
  throw configError(
    `${what}: only_cross_attention is ${JSON.stringify(given)}; false and a list of true and false for each level are supported.`,
  );
}

function blockType(type: string, direction: 'Down' | 'Up', what: string) {
  const block = blockTypes.get(type.replace(direction, ''));
  if (!block || !type.includes(direction)) throw configError(`${what}: blocks of type ${type} are not supported.`);
  return block;
}

/** `attention_head_dim` is, in UNet2DConditionModel, the number of heads (a historical misnomer of diffusers). */
function heads(json: Mapping, widths: readonly number[], what: string): Mapping {
  const value = json['num_attention_heads'] ?? json['attention_head_dim'] ?? 8;
  const list = Array.isArray(value) ? value : [value];
  if (list.every((item) => item === list[0])) return { num_heads: list[0] };
  const sizes = widths.map((width, level) => width / Number(list[level]));
  if (list.length === widths.length && sizes.every((size) => size === sizes[0])) return { num_head_channels: sizes[0] };
  throw configError(
    `${what}: attention_head_dim ${JSON.stringify(value)} is neither one number of heads nor one width of heads.`,
  );
}

/** One number of transformer blocks, or a list with one for each level. */
function depths(json: Mapping, what: string): unknown {
  const value = json['transformer_layers_per_block'] ?? 1;
  if (!Array.isArray(value)) return value;
  if (value.some((item) => typeof item !== 'number'))
    throw configError(
      `${what}: transformer_layers_per_block ${JSON.stringify(value)} differs inside of levels, which is not supported.`,
    );
  return value.every((item) => item === value[0]) ? value[0] : value;
}

/** One number, or a list of equal ones. */
function single(json: Mapping, name: string, fallback: number, what: string): unknown {
  const value = json[name] ?? fallback;
  if (!Array.isArray(value)) return value;
  if (value.length === 0 || value.some((item) => item !== value[0]))
    throw configError(`${what}: ${name} differs between levels (${JSON.stringify(value)}), which is not supported.`);
  return value[0];
}
