/** `config.json` of a UNet2DConditionModel with text conditioning by DeepFloyd IF: `SimpleCrossAttn` blocks and a pooled text. */

import { listOf, multiples, refuseOthers } from './hugging-face-fields.ts';
import { type IfUNetConfig, ifUNetConfigSchema } from './network-config.ts';
import { configError, type Mapping, validated } from './validate.ts';

/** The values of IF's published stages; others would be a different network. */
const fixed: Readonly<Record<string, readonly unknown[]>> = {
  act_fn: ['gelu', 'silu', 'swish'],
  center_input_sample: [false],
  flip_sin_to_cos: [true],
  freq_shift: [0],
  downsample_padding: [1],
  norm_eps: [1e-5],
  dual_cross_attention: [false],
  encoder_hid_dim_type: ['text_proj'],
  class_embed_type: ['timestep'],
  addition_embed_type: ['text'],
  time_embedding_type: ['positional'],
  timestep_post_act: [],
  time_cond_proj_dim: [],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  class_embeddings_concat: [false],
  num_class_embeds: [],
  cross_attention_norm: ['group_norm'],
  mid_block_type: ['UNetMidBlock2DSimpleCrossAttn'],
  add_attention: [true],
  attn_norm_num_groups: [],
  transformer_layers_per_block: [1],
  num_attention_heads: [],
};

const blockTypes: Readonly<Record<string, boolean>> = { ResnetsampleBlock2D: false, SimpleCrossAttnBlock2D: true };

/** Whether blocks attend, by level. */
function attendsOf(json: Mapping, field: string, direction: 'Down' | 'Up', what: string): readonly boolean[] {
  return listOf(json, field, 'string', what).map((type) => {
    const attends = type.includes(direction) ? blockTypes[type.replace(direction, '')] : undefined;
    if (attends === undefined) throw configError(`${what}: blocks of type ${type} are not supported.`);
    return attends;
  });
}

/** One value, or a list of equal ones. */
function single(json: Mapping, name: string, fallback: unknown, what: string): unknown {
  const value = json[name] ?? fallback;
  if (!Array.isArray(value)) return value;
  if (value.length === 0 || value.some((item) => item !== value[0]))
    throw configError(`${what}: ${name} differs between levels (${JSON.stringify(value)}), which is not supported.`);
  return value[0];
}

/** True for a UNet of DeepFloyd IF. */
export const isIfUNet = (json: Mapping): boolean => json['addition_embed_type'] === 'text';

/** Throws `config-invalid`, naming the field that is not supported. */
export function ifUNetFromDiffusers(json: Mapping, what: string): IfUNetConfig {
  refuseOthers(json, fixed, what);
  const widths = listOf(json, 'block_out_channels', 'number', what);
  const down = attendsOf(json, 'down_block_types', 'Down', what);
  const up = attendsOf(json, 'up_block_types', 'Up', what).toReversed();
  if (down.length !== widths.length || up.length !== widths.length || down.some((value, i) => value !== up[i]))
    throw configError(
      `${what}: down_block_types and up_block_types should mirror each other and have one block for each of ${widths.length} levels.`,
    );
  const scale = json['resnet_out_scale_factor'] ?? 1;
  if ((json['mid_block_scale_factor'] ?? 1) !== scale)
    throw configError(`${what}: mid_block_scale_factor and resnet_out_scale_factor should be the same number.`);
  const activation = json['act_fn'] === 'gelu' ? 'gelu' : 'silu';
  const outside = json['time_embedding_act_fn'] ?? null;
  if (
    (json['resnet_skip_time_act'] ?? false) !== (outside !== null) ||
    (outside !== null && outside !== json['act_fn'])
  )
    throw configError(
      `${what}: resnet_skip_time_act goes with a time_embedding_act_fn that is act_fn, and time_embedding_act_fn is ${JSON.stringify(outside)}.`,
    );
  return validated(
    ifUNetConfigSchema,
    {
      kind: 'if_unet',
      image_size: json['sample_size'] ?? 64,
      in_channels: json['in_channels'] ?? 3,
      out_channels: json['out_channels'] ?? 6,
      model_channels: widths[0],
      channel_mult: multiples(widths, what),
      num_res_blocks: json['layers_per_block'] ?? 2,
      attention_resolutions: down.flatMap((attends, level) => (attends ? [2 ** level] : [])),
      num_head_channels: single(json, 'attention_head_dim', 8, what),
      encoder_dim: json['encoder_hid_dim'],
      encoder_channels: single(json, 'cross_attention_dim', 1280, what),
      att_pool_heads: json['addition_embed_type_num_heads'] ?? 64,
      time_embed_dim: json['time_embedding_dim'] ?? 4 * (widths[0] ?? 0),
      activation,
      use_scale_shift_norm: json['resnet_time_scale_shift'] === 'scale_shift',
      disable_self_attentions: single(json, 'only_cross_attention', false, what),
      output_scale: scale,
      noise_level: json['class_embed_type'] === 'timestep',
      norm_num_groups: json['norm_num_groups'] ?? 32,
    },
    what,
  );
}
