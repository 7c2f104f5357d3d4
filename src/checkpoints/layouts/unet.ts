/**
 * CompVis `openaimodel.UNetModel` (a) ⇄ diffusers `UNet2DConditionModel` and `UNet2DModel` (b), for every topology.
 *
 * Names of b as in `diffusers.loaders.single_file_utils.convert_ldm_unet_checkpoint`: the flat lists `input_blocks` and `output_blocks`
 * become nested lists by level. Plain attention (`qkv`) is three linear layers in b, so its heads are needed in the legacy order.
 */

import type { UNetConfig } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow, prefixed } from '../rename.ts';

/** One ResBlock: its layers in a and in b. */
const resBlockLayers = [
  ['in_layers.0', 'norm1'],
  ['in_layers.2', 'conv1'],
  ['emb_layers.1', 'time_emb_proj'],
  ['out_layers.0', 'norm2'],
  ['out_layers.3', 'conv2'],
] as const;

/** One BasicTransformerBlock: the same names in both. */
const transformerLayers = [
  'attn1.to_out.0',
  'ff.net.0.proj',
  'ff.net.2',
  'attn2.to_out.0',
  'norm1',
  'norm2',
  'norm3',
] as const;
const transformerMatrices = [
  'attn1.to_q',
  'attn1.to_k',
  'attn1.to_v',
  'attn2.to_q',
  'attn2.to_k',
  'attn2.to_v',
] as const;

export interface DiffusersUNetOptions {
  /** Plain attention is named as by older diffusers (query, key, value, proj_attn). */
  readonly olderNames?: boolean;
  /** Rows of an attention layer over so many channels, where it is of another kind. */
  readonly attention?: (channels: number) => NameRow[];
  /** The vector's embedding in b: `add_embedding` (default; SDXL) or `class_embedding` (unCLIP). */
  readonly vectorName?: string;
}

/** The map of one architecture: exactly the names its networks have. */
export function unetMap(config: UNetConfig, options: DiffusersUNetOptions = {}): NameMap {
  const rows: NameRow[] = [
    ...layer('time_embed.0', 'time_embedding.linear_1'),
    ...layer('time_embed.2', 'time_embedding.linear_2'),
    ...labelRows(config, options),
    ...layer('input_blocks.0.0', 'conv_in'),
  ];
  const levels = config.channel_mult.length;
  const skips = [config.model_channels];
  let channels = config.model_channels;
  let index = 1;
  for (const [level, mult] of config.channel_mult.entries()) {
    const width = mult * config.model_channels;
    for (let j = 0; j < resBlocksOf(config, level); j++, index++) {
      rows.push(
        ...prefixed(resBlock(channels !== width), `input_blocks.${index}.0.`, `down_blocks.${level}.resnets.${j}.`),
      );
      channels = width;
      if (hasAttention(config, level)) {
        rows.push(
          ...prefixed(
            attention(config, width, level, false, options),
            `input_blocks.${index}.1.`,
            `down_blocks.${level}.attentions.${j}.`,
          ),
        );
      }
      skips.push(channels);
    }
    if (level === levels - 1) continue;
    rows.push(...prefixed(resample(config, 'op'), `input_blocks.${index}.0.`, `down_blocks.${level}.downsamplers.0.`));
    skips.push(channels);
    index++;
  }
  rows.push(
    ...prefixed(resBlock(false), 'middle_block.0.', 'mid_block.resnets.0.'),
    ...prefixed(attention(config, channels, levels - 1, false, options), 'middle_block.1.', 'mid_block.attentions.0.'),
    ...prefixed(resBlock(false), 'middle_block.2.', 'mid_block.resnets.1.'),
  );
  index = 0;
  for (let level = levels - 1; level >= 0; level--) {
    const width = (config.channel_mult[level] as number) * config.model_channels;
    const up = `up_blocks.${levels - 1 - level}`;
    const last = resBlocksOf(config, level);
    for (let j = 0; j <= last; j++, index++) {
      rows.push(
        ...prefixed(
          resBlock(channels + (skips.pop() as number) !== width),
          `output_blocks.${index}.0.`,
          `${up}.resnets.${j}.`,
        ),
      );
      channels = width;
      const attends = hasAttention(config, level);
      if (attends)
        rows.push(
          ...prefixed(
            attention(config, width, level, true, options),
            `output_blocks.${index}.1.`,
            `${up}.attentions.${j}.`,
          ),
        );
      if (level > 0 && j === last) {
        rows.push(
          ...prefixed(resample(config, 'conv'), `output_blocks.${index}.${attends ? 2 : 1}.`, `${up}.upsamplers.0.`),
        );
      }
    }
  }
  rows.push(...layer('out.0', 'conv_norm_out'), ...layer('out.2', 'conv_out'));
  return { a: 'compvis', b: 'diffusers', rows };
}

/** The embedding of labels: a table of classes, or two linear layers over a vector. */
function labelRows(
  { num_classes, adm_in_channels }: UNetConfig,
  { vectorName = 'add_embedding' }: DiffusersUNetOptions,
): NameRow[] {
  if (num_classes !== null) return [{ a: 'label_emb.weight', b: 'class_embedding.weight' }];
  if (adm_in_channels === null) return [];
  return [...layer('label_emb.0.0', `${vectorName}.linear_1`), ...layer('label_emb.0.2', `${vectorName}.linear_2`)];
}

/** Residual blocks of one level. */
export function resBlocksOf(config: Pick<UNetConfig, 'num_res_blocks'>, level: number): number {
  const { num_res_blocks: blocks } = config;
  return typeof blocks === 'number' ? blocks : (blocks[level] ?? 0);
}

function hasAttention(config: UNetConfig, level: number): boolean {
  return config.attention_resolutions.includes(2 ** level);
}

function resBlock(widthChanges: boolean): NameRow[] {
  const rows = resBlockLayers.flatMap(([a, b]) => layer(a, b));
  return widthChanges ? [...rows, ...layer('skip_connection', 'conv_shortcut')] : rows;
}

function resample(config: UNetConfig, convolution: 'op' | 'conv'): NameRow[] {
  if (config.resblock_updown) return resBlock(false);
  return config.conv_resample ? layer(convolution, 'conv') : [];
}

/** Transformer blocks of an attention layer at a level. */
function depthAt({ transformer_depth: depth }: UNetConfig, level: number): number {
  return typeof depth === 'number' ? depth : (depth[level] ?? 1);
}

function attention(
  config: UNetConfig,
  channels: number,
  level: number,
  decoder: boolean,
  options: DiffusersUNetOptions,
): NameRow[] {
  if (options.attention) return options.attention(channels);
  if (!config.use_spatial_transformer) return plainAttention(config, channels, decoder, options);
  const rows: NameRow[] = [...layer('norm', 'norm')];
  for (const projection of ['proj_in', 'proj_out']) {
    rows.push(
      { a: `${projection}.weight`, b: `${projection}.weight` },
      { a: `${projection}.bias`, b: `${projection}.bias` },
    );
  }
  for (let depth = 0; depth < depthAt(config, level); depth++) {
    const block = `transformer_blocks.${depth}.`;
    for (const name of transformerMatrices) rows.push({ a: `${block}${name}.weight`, b: `${block}${name}.weight` });
    for (const name of transformerLayers) rows.push(...layer(block + name, block + name));
  }
  return rows;
}

/** AttentionBlock: `qkv` is a Conv1d of 3C channels, by head in the legacy order. */
function plainAttention(
  config: UNetConfig,
  channels: number,
  decoder: boolean,
  options: DiffusersUNetOptions,
): NameRow[] {
  const groups = config.use_new_attention_order ? 1 : plainHeads(config, channels, decoder);
  const parts = options.olderNames ? ['query', 'key', 'value'] : ['to_q', 'to_k', 'to_v'];
  const output = options.olderNames ? 'proj_attn' : 'to_out.0';
  return [
    ...layer('norm', 'group_norm'),
    { a: 'qkv.weight', b: parts.map((name) => `${name}.weight`), groups, ones: 1 },
    { a: 'qkv.bias', b: parts.map((name) => `${name}.bias`), groups },
    { a: 'proj_out.weight', b: `${output}.weight`, ones: 1 },
    { a: 'proj_out.bias', b: `${output}.bias` },
  ];
}

/** Heads of an AttentionBlock, by the rules of UNetModel's constructor. */
function plainHeads(config: UNetConfig, channels: number, decoder: boolean): number {
  if (config.num_head_channels !== -1) return Math.floor(channels / config.num_head_channels);
  if (!config.legacy) return Math.floor(channels / Math.floor(channels / config.num_heads));
  return decoder && config.num_heads_upsample !== -1 ? config.num_heads_upsample : config.num_heads;
}
