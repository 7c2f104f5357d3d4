/**
 * The architecture of a UNet from its names and shapes: `openaimodel.UNetModel` under its own names and under those of diffusers.
 *
 * Everything is read except what leaves no trace: the number of heads (assumed 8 with a spatial transformer, as Stable Diffusion v1;
 * heads of 32 channels with plain attention, as the latent-diffusion models), the attention order (legacy), dropout and the nominal
 * image size (32). `assumed` lists them.
 */

import { type UNetConfig, unetConfigSchema } from '../../config/network-config.ts';
import {
  axis,
  countOf,
  type Entries,
  hasPrefix,
  type Inferred,
  inferred,
  multiple,
  normGroups,
  uniform,
  unknown,
} from './shapes.ts';

const what = 'UNet';

/** Width of the context of Stable Diffusion v1. */
const v1Context = 768;

/** One residual block as seen in the file. */
interface Block {
  readonly width: number;
  /** Prefix of its attention, if it has any. */
  readonly attention: string | undefined;
}

/** True for names of a CompVis UNet without its prefix. */
export function isCompVisUNet(entries: Entries): boolean {
  return (
    entries.has('input_blocks.0.0.weight') && entries.has('time_embed.0.weight') && hasPrefix(entries, 'output_blocks.')
  );
}

/** True for names of diffusers' UNet2DConditionModel or UNet2DModel. */
export function isDiffusersUNet(entries: Entries): boolean {
  return (
    entries.has('conv_in.weight') &&
    entries.has('time_embedding.linear_1.weight') &&
    hasPrefix(entries, 'down_blocks.') &&
    hasPrefix(entries, 'up_blocks.')
  );
}

/** From the names of a CompVis checkpoint without `model.diffusion_model.`. Throws `model-unknown`. */
export function inferCompVisUNet(entries: Entries): Inferred<UNetConfig> {
  const inChannels = axis(entries, 'input_blocks.0.0.weight', 4, 1, what);
  // The first convolution is as wide as the first level, which may be a fraction of it (ADM's 512 x 512 models).
  const modelChannels = axis(entries, 'time_embed.0.weight', 2, 1, what);
  const outputs = countOf(entries, 'output_blocks.', what);
  const upBlocks = new Set<number>();
  let resblockUpdown = false;
  for (let index = 0; index < outputs; index++) {
    const residual = [1, 2].some((at) => entries.has(`output_blocks.${index}.${at}.in_layers.0.weight`));
    if (residual) resblockUpdown = true;
    if (residual || [1, 2].some((at) => entries.has(`output_blocks.${index}.${at}.conv.weight`))) upBlocks.add(index);
  }

  // The levels, from the input blocks: a level ends at a downsampling, which is a convolution, a gap (pooling), or, with
  // resblock_updown, a residual block that only the mirrored place among the output blocks tells from the others.
  const inputs = countOf(entries, 'input_blocks.', what, 'allow');
  const boundaries = new Set<number>();
  if (resblockUpdown) for (const up of upBlocks) boundaries.add(inputs - 1 - up);
  let pooled = false;
  const levels: Block[][] = [[]];
  for (let index = 1; index < inputs; index++) {
    const isConvolution = entries.has(`input_blocks.${index}.0.op.weight`);
    const isGap = !hasPrefix(entries, `input_blocks.${index}.`);
    if (isGap) pooled = true;
    if (isConvolution || isGap || boundaries.has(index)) levels.push([]);
    else levels.at(-1)?.push(block(entries, `input_blocks.${index}.0.out_layers.3.weight`, `input_blocks.${index}.1.`));
  }
  return finish(entries, levels, {
    in_channels: inChannels,
    model_channels: modelChannels,
    // A control network has no second half.
    out_channels: outputs === 0 ? inChannels : axis(entries, 'out.2.weight', 4, 0, what),
    num_classes: entries.get('label_emb.weight')?.shape[0] ?? null,
    adm_in_channels: entries.get('label_emb.0.0.weight')?.shape[1] ?? null,
    n_embed: entries.get('id_predictor.1.weight')?.shape[0] ?? null,
    conv_resample: !pooled,
    resblock_updown: resblockUpdown,
    middle: 'middle_block.1.',
    scaleShift:
      axis(entries, 'middle_block.0.emb_layers.1.weight', 2, 0, what) ===
      2 * axis(entries, 'middle_block.0.out_layers.3.weight', 4, 0, what),
  });
}

/** From the names of diffusers' UNet. Throws `model-unknown`, also for conditionings that are not supported. */
export function inferDiffusersUNet(entries: Entries): Inferred<UNetConfig> {
  for (const prefix of ['encoder_hid_proj.', 'add_time_proj.']) {
    if (hasPrefix(entries, prefix))
      throw unknown(what, `it has ${prefix}*, an extra conditioning that is not supported`);
  }
  const inChannels = axis(entries, 'conv_in.weight', 4, 1, what);
  const modelChannels = axis(entries, 'time_embedding.linear_1.weight', 2, 1, what);
  const levels: Block[][] = [];
  const count = countOf(entries, 'down_blocks.', what);
  for (let level = 0; level < count; level++) {
    const blocks = countOf(entries, `down_blocks.${level}.resnets.`, what);
    levels.push(
      Array.from({ length: blocks }, (_, j) =>
        block(entries, `down_blocks.${level}.resnets.${j}.conv2.weight`, `down_blocks.${level}.attentions.${j}.`),
      ),
    );
  }
  const resblockUpdown = entries.has('down_blocks.0.downsamplers.0.conv1.weight');
  return finish(entries, levels, {
    in_channels: inChannels,
    model_channels: modelChannels,
    // A control network has no second half.
    out_channels: hasPrefix(entries, 'up_blocks.') ? axis(entries, 'conv_out.weight', 4, 0, what) : inChannels,
    num_classes: entries.get('class_embedding.weight')?.shape[0] ?? null,
    adm_in_channels:
      (entries.get('add_embedding.linear_1.weight') ?? entries.get('class_embedding.linear_1.weight'))?.shape[1] ??
      null,
    n_embed: null,
    conv_resample: levels.length === 1 || resblockUpdown || entries.has('down_blocks.0.downsamplers.0.conv.weight'),
    resblock_updown: resblockUpdown,
    middle: 'mid_block.attentions.0.',
    scaleShift:
      axis(entries, 'mid_block.resnets.0.time_emb_proj.weight', 2, 0, what) ===
      2 * axis(entries, 'mid_block.resnets.0.conv2.weight', 4, 0, what),
  });
}

function block(entries: Entries, convolution: string, attention: string): Block {
  return {
    width: axis(entries, convolution, 4, 0, what),
    attention: hasPrefix(entries, attention) ? attention : undefined,
  };
}

interface Read {
  readonly in_channels: number | undefined;
  readonly model_channels: number;
  readonly out_channels: number | undefined;
  readonly num_classes: number | null;
  readonly adm_in_channels: number | null;
  readonly n_embed: number | null;
  readonly conv_resample: boolean;
  readonly resblock_updown: boolean;
  /** Prefix of the attention in the middle, which every UNet has. */
  readonly middle: string;
  readonly scaleShift: boolean;
}

function finish(
  entries: Entries,
  levels: readonly Block[][],
  { middle, scaleShift, ...read }: Read,
): Inferred<UNetConfig> {
  const assumed: string[] = [];
  const mults: number[] = [];
  const attentionResolutions: number[] = [];
  for (const [level, blocks] of levels.entries()) {
    const width = blocks[0]?.width ?? 0;
    if (width === 0) throw unknown(what, `level ${level} has no residual block`);
    const odd = blocks.find(
      (item) => item.width !== width || (item.attention === undefined) !== (blocks[0]?.attention === undefined),
    );
    if (odd) throw unknown(what, `the blocks of level ${level} differ in width or attention`);
    mults.push(multiple(width, read.model_channels, what));
    if (blocks[0]?.attention !== undefined) attentionResolutions.push(2 ** level);
  }
  const useTransformer = hasPrefix(entries, `${middle}transformer_blocks.`);
  const context = useTransformer ? axis(entries, `${middle}transformer_blocks.0.attn2.to_k.weight`, 2, 1, what) : null;
  // Some files of Stable Diffusion v1 hold its 1x1 convolutions as linear layers; SD 2.x and SDXL have linear layers.
  const linear = entries.get(`${middle}proj_in.weight`)?.shape.length === 2 && context !== v1Context;
  const depths = useTransformer ? transformerDepths(entries, levels, middle) : [1];
  const widths = mults.map((mult) => mult * read.model_channels);
  const heads = !useTransformer
    ? { num_head_channels: headChannelsFor(widths) }
    : linear
      ? { num_head_channels: headChannelsFor(widths, 64) }
      : { num_heads: headsFor(widths) };
  assumed.push(...Object.entries(heads).map(([name, value]) => `${name} ${value}`));
  const config = inferred(
    unetConfigSchema,
    {
      kind: 'unet',
      ...read,
      ...heads,
      num_res_blocks: uniform(levels.map((blocks) => blocks.length)),
      attention_resolutions: attentionResolutions,
      channel_mult: mults,
      use_scale_shift_norm: scaleShift,
      use_spatial_transformer: useTransformer,
      transformer_depth: uniform(depths),
      use_linear_in_transformer: useTransformer && linear,
      context_dim: context,
      ...crossedLevels(entries, levels, context),
      legacy: false,
      norm_num_groups: normGroups(widths, assumed),
    },
    what,
  );
  return { config, assumed };
}

/** Levels whose first attention looks at the context too (SD 2.x's upscaler): its keys have the context's width, not the level's. */
function crossedLevels(
  entries: Entries,
  levels: readonly Block[][],
  context: number | null,
): { readonly disable_self_attentions?: readonly boolean[] } {
  const crossed = levels.map((blocks) => {
    const [{ attention, width } = { attention: undefined, width: 0 }] = blocks;
    const keys = entries.get(`${attention}transformer_blocks.0.attn1.to_k.weight`)?.shape[1];
    return context !== null && keys === context && keys !== width;
  });
  return crossed.includes(true) ? { disable_self_attentions: crossed } : {};
}

/** Transformer blocks of each level; the last also applies to the middle; a level without attention counts as 1. */
function transformerDepths(entries: Entries, levels: readonly Block[][], middle: string): number[] {
  const last = countOf(entries, `${middle}transformer_blocks.`, what);
  const depths = levels.map((blocks, level) => {
    const found = new Set(
      blocks.flatMap(({ attention }) =>
        attention === undefined ? [] : [countOf(entries, `${attention}transformer_blocks.`, what)],
      ),
    );
    if (found.size > 1)
      throw unknown(what, `the transformers of level ${level} have ${[...found].join(' and ')} blocks`);
    const [depth = level === levels.length - 1 ? last : 1] = found;
    return depth;
  });
  if (depths.at(-1) !== last)
    throw unknown(what, `transformers have ${last} blocks in the middle and ${depths.at(-1)} in the last level`);
  // Without attention in between, one number is enough.
  return depths.every(
    (depth, level) => depth === last || levels[level]?.every(({ attention }) => attention === undefined),
  )
    ? [last]
    : depths;
}

/** 8, as Stable Diffusion v1, halved until it divides every width. */
function headsFor(widths: readonly number[]): number {
  let heads = 8;
  while (widths.some((width) => width % heads !== 0)) heads /= 2;
  return heads;
}

/** 32 channels a head, as the latent-diffusion models (SD 2.x and SDXL: 64), halved until it divides every width. */
function headChannelsFor(widths: readonly number[], most = 32): number {
  let channels = most;
  while (widths.some((width) => width % channels !== 0)) channels /= 2;
  return channels;
}
