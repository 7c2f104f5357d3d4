/**
 * CompVis `AutoencoderKL` and `VQModel` (a) ⇄ diffusers `AutoencoderKL` and `VQModel` (b), for every topology.
 *
 * Names of b as in `diffusers.loaders.single_file_utils.convert_ldm_vae_checkpoint`; the attention's 1x1 convolutions are linear layers
 * there, and files published before diffusers 0.12 name them query, key, value and proj_attn.
 */

import type { AutoencoderConfig } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow, prefixed } from '../rename.ts';

const currentNames = [
  ['q', 'to_q'],
  ['k', 'to_k'],
  ['v', 'to_v'],
  ['proj_out', 'to_out.0'],
] as const;
const olderNames = [
  ['q', 'query'],
  ['k', 'key'],
  ['v', 'value'],
  ['proj_out', 'proj_attn'],
] as const;

export interface DiffusersAutoencoderOptions {
  /** The attention is named as by older diffusers: query, key, value, proj_attn. */
  readonly olderNames?: boolean;
}

/** The map of one architecture: exactly the names its networks have. */
export function autoencoderMap(config: AutoencoderConfig, options: DiffusersAutoencoderOptions = {}): NameMap {
  const { ddconfig } = config;
  const levels = ddconfig.ch_mult.length;
  const attention = attentionRows(ddconfig.attn_type, options);
  const rows: NameRow[] = [
    ...layer('quant_conv', 'quant_conv'),
    ...layer('post_quant_conv', 'post_quant_conv'),
    ...(config.kind === 'vq' ? [{ a: 'quantize.embedding.weight', b: 'quantize.embedding.weight' }] : []),
  ];
  for (const half of ['encoder.', 'decoder.']) {
    const middle = [
      ...layer('conv_in', 'conv_in'),
      ...prefixed(resnet(false), 'mid.block_1.', 'mid_block.resnets.0.'),
      ...prefixed(attention, 'mid.attn_1.', 'mid_block.attentions.0.'),
      ...prefixed(resnet(false), 'mid.block_2.', 'mid_block.resnets.1.'),
      ...layer('norm_out', 'conv_norm_out'),
      ...layer('conv_out', 'conv_out'),
    ];
    rows.push(...prefixed(middle, half, half));
  }
  const widths = ddconfig.ch_mult.map((mult) => mult * ddconfig.ch);
  let channels = ddconfig.ch;
  for (const [level, width] of widths.entries()) {
    const attends = hasAttention(config, level);
    const [a, b] = [`encoder.down.${level}.`, `encoder.down_blocks.${level}.`];
    for (let j = 0; j < ddconfig.num_res_blocks; j++) {
      rows.push(...prefixed(resnet(channels !== width), `${a}block.${j}.`, `${b}resnets.${j}.`));
      if (attends) rows.push(...prefixed(attention, `${a}attn.${j}.`, `${b}attentions.${j}.`));
      channels = width;
    }
    if (level < levels - 1 && ddconfig.resamp_with_conv)
      rows.push(...layer(`${a}downsample.conv`, `${b}downsamplers.0.conv`));
  }
  for (let level = levels - 1; level >= 0; level--) {
    const attends = hasAttention(config, level);
    const width = widths[level] as number;
    const [a, b] = [`decoder.up.${level}.`, `decoder.up_blocks.${levels - 1 - level}.`];
    for (let j = 0; j <= ddconfig.num_res_blocks; j++) {
      rows.push(...prefixed(resnet(channels !== width), `${a}block.${j}.`, `${b}resnets.${j}.`));
      if (attends) rows.push(...prefixed(attention, `${a}attn.${j}.`, `${b}attentions.${j}.`));
      channels = width;
    }
    if (level > 0 && ddconfig.resamp_with_conv) rows.push(...layer(`${a}upsample.conv`, `${b}upsamplers.0.conv`));
  }
  return { a: 'compvis', b: 'diffusers', rows };
}

/** Attention is at a level if its nominal resolution is listed; `resolution // 2^level` as the original computes it. */
function hasAttention({ ddconfig }: AutoencoderConfig, level: number): boolean {
  return (
    ddconfig.attn_type !== 'none' && ddconfig.attn_resolutions.includes(Math.floor(ddconfig.resolution / 2 ** level))
  );
}

function resnet(widthChanges: boolean): NameRow[] {
  const rows = ['norm1', 'conv1', 'norm2', 'conv2'].flatMap((name) => layer(name, name));
  return widthChanges ? [...rows, ...layer('nin_shortcut', 'conv_shortcut')] : rows;
}

function attentionRows(
  type: AutoencoderConfig['ddconfig']['attn_type'],
  options: DiffusersAutoencoderOptions,
): NameRow[] {
  if (type === 'none') return [];
  // diffusers has no linear attention here: its names stay.
  if (type === 'linear') return [{ a: 'to_qkv.weight', b: 'to_qkv.weight' }, ...layer('to_out', 'to_out')];
  const projections = (options.olderNames ? olderNames : currentNames).flatMap(([a, b]): NameRow[] => [
    { a: `${a}.weight`, b: `${b}.weight`, ones: 2 },
    { a: `${a}.bias`, b: `${b}.bias` },
  ]);
  return [...layer('norm', 'group_norm'), ...projections];
}
