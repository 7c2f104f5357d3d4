/**
 * The architecture of an autoencoder from its names and shapes: CompVis's and diffusers' AutoencoderKL and VQModel, and TAESD.
 *
 * Nothing of weight is left open: only the nominal resolution (256, to which `attn_resolutions` is relative) and dropout leave no trace.
 */

import {
  type AutoencoderConfig,
  klConfigSchema,
  type TaesdConfig,
  taesdConfigSchema,
  vqConfigSchema,
} from '../../config/network-config.ts';
import {
  axis,
  countOf,
  type Entries,
  hasPrefix,
  type Inferred,
  inferred,
  multiple,
  normGroups,
  shapeOf,
  unknown,
} from './shapes.ts';

const what = 'autoencoder';
const nominalResolution = 256;

export function isCompVisAutoencoder(entries: Entries): boolean {
  return (
    entries.has('encoder.conv_in.weight') &&
    entries.has('decoder.conv_in.weight') &&
    hasPrefix(entries, 'encoder.down.')
  );
}

export function isDiffusersAutoencoder(entries: Entries): boolean {
  return (
    entries.has('encoder.conv_in.weight') &&
    entries.has('decoder.conv_in.weight') &&
    hasPrefix(entries, 'encoder.down_blocks.')
  );
}

/** The names that differ between the two layouts. */
interface Names {
  readonly level: (level: number) => string;
  readonly blocks: string;
  readonly attention: string;
  readonly downsample: string;
  readonly middleAttention: string;
}

const compVis: Names = {
  level: (level) => `encoder.down.${level}.`,
  blocks: 'block.',
  attention: 'attn.',
  downsample: 'downsample.conv.weight',
  middleAttention: 'mid.attn_1.',
};
const diffusers: Names = {
  level: (level) => `encoder.down_blocks.${level}.`,
  blocks: 'resnets.',
  attention: 'attentions.',
  downsample: 'downsamplers.0.conv.weight',
  middleAttention: 'mid_block.attentions.0.',
};

/** From the names of a CompVis checkpoint without `first_stage_model.`. Throws `model-unknown`. */
export function inferCompVisAutoencoder(entries: Entries): Inferred<AutoencoderConfig> {
  return infer(entries, compVis, countOf(entries, 'encoder.down.', what));
}

/** From the names of diffusers' AutoencoderKL or VQModel. Throws `model-unknown`. */
export function inferDiffusersAutoencoder(entries: Entries): Inferred<AutoencoderConfig> {
  return infer(entries, diffusers, countOf(entries, 'encoder.down_blocks.', what));
}

function infer(entries: Entries, names: Names, levels: number): Inferred<AutoencoderConfig> {
  const assumed: string[] = [];
  const [ch = 0, inChannels] = shapeOf(entries, 'encoder.conv_in.weight', 4, what);
  const [zChannels = 0, embedDim] = shapeOf(entries, 'post_quant_conv.weight', 4, what);
  const mults: number[] = [];
  const attnResolutions: number[] = [];
  const counts = new Set<number>();
  for (let level = 0; level < levels; level++) {
    const blocks = `${names.level(level)}${names.blocks}`;
    counts.add(countOf(entries, blocks, what));
    mults.push(multiple(axis(entries, `${blocks}0.conv2.weight`, 4, 0, what), ch, what));
    if (hasPrefix(entries, `${names.level(level)}${names.attention}`))
      attnResolutions.push(nominalResolution / 2 ** level);
  }
  const [resBlocks] = counts;
  if (counts.size !== 1 || resBlocks === undefined)
    throw unknown(what, `levels have different numbers of blocks (${[...counts].join(', ')})`);
  const middle = `encoder.${names.middleAttention}`;
  const attnType = entries.has(`${middle}to_qkv.weight`) ? 'linear' : hasPrefix(entries, middle) ? 'vanilla' : 'none';
  if (attnResolutions.length > 0) assumed.push(`resolution ${nominalResolution}`);
  const codebook = entries.get('quantize.embedding.weight')?.shape;
  const latent = axis(entries, 'encoder.conv_out.weight', 4, 0, what);
  const ddconfig = {
    double_z: latent === 2 * zChannels,
    z_channels: zChannels,
    resolution: nominalResolution,
    in_channels: inChannels,
    out_ch: axis(entries, 'decoder.conv_out.weight', 4, 0, what),
    ch,
    ch_mult: mults,
    num_res_blocks: resBlocks,
    attn_resolutions: attnResolutions,
    resamp_with_conv: levels === 1 || entries.has(`${names.level(0)}${names.downsample}`),
    attn_type: attnType,
    norm_num_groups: normGroups([ch, ...mults.map((mult) => mult * ch)], assumed),
  };
  const config = codebook
    ? inferred(vqConfigSchema, { kind: 'vq', embed_dim: embedDim, n_embed: codebook[0], ddconfig }, what)
    : inferred(klConfigSchema, { kind: 'kl', embed_dim: embedDim, ddconfig }, what);
  return { config, assumed };
}

/** True for names of diffusers' AutoencoderTiny. */
export function isTaesd(entries: Entries): boolean {
  return entries.has('encoder.layers.0.weight') && entries.has('decoder.layers.0.weight');
}

/** The half of the original TAESD, recognised by its first convolution; undefined for neither. */
export function originalTaesdHalf(entries: Entries): 'encoder' | 'decoder' | undefined {
  if (entries.has('0.weight') && entries.has('1.conv.0.weight')) return 'encoder';
  return !entries.has('0.weight') && entries.has('1.weight') && entries.has('3.conv.0.weight') ? 'decoder' : undefined;
}

/**
 * From the names of AutoencoderTiny. If only one half exists, the other is assumed to be its mirror image, as in TAESD.
 * Throws `model-unknown`.
 */
export function inferTaesd(entries: Entries): Inferred<TaesdConfig> {
  const encoder = hasPrefix(entries, 'encoder.layers.') ? half(entries, 'encoder.layers.') : undefined;
  const decoder = hasPrefix(entries, 'decoder.layers.') ? half(entries, 'decoder.layers.') : undefined;
  const assumed =
    encoder && decoder ? [] : [`the ${encoder ? 'decoder' : 'encoder'} mirrors the ${encoder ? 'encoder' : 'decoder'}`];
  const encoderBlocks = encoder?.blocks ?? decoder?.blocks.toReversed() ?? [];
  const decoderBlocks = decoder?.blocks ?? encoder?.blocks.toReversed() ?? [];
  const width = encoder?.width ?? decoder?.width ?? 0;
  const config = inferred(
    taesdConfigSchema,
    {
      kind: 'taesd',
      in_channels: encoder?.from ?? decoder?.to,
      out_channels: decoder?.to ?? encoder?.from,
      latent_channels: encoder?.to ?? decoder?.from,
      encoder_block_out_channels: encoderBlocks.map(() => width),
      decoder_block_out_channels: decoderBlocks.map(() => decoder?.width ?? width),
      num_encoder_blocks: encoderBlocks,
      num_decoder_blocks: decoderBlocks,
    },
    what,
  );
  return { config, assumed };
}

/** One half of TAESD: runs of residual blocks, with a convolution between two runs. */
function half(entries: Entries, prefix: string): { from: number; to: number; width: number; blocks: number[] } {
  const layers = countOf(entries, prefix, 'TAESD', 'allow');
  const [width = 0, from = 0] = shapeOf(entries, `${prefix}0.weight`, 4, 'TAESD');
  const to = axis(entries, `${prefix}${layers - 1}.weight`, 4, 0, 'TAESD');
  const blocks = [0];
  for (let index = 1; index < layers - 1; index++) {
    if (entries.has(`${prefix}${index}.conv.0.weight`)) blocks[blocks.length - 1] = (blocks.at(-1) as number) + 1;
    else if (entries.has(`${prefix}${index}.weight`)) blocks.push(0);
  }
  return { from, to, width, blocks };
}
