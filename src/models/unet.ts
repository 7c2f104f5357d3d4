/**
 * The denoising UNet of latent diffusion (`ldm.modules.diffusionmodules.openaimodel.UNetModel`; Rombach et al. 2022, after Dhariwal & Nichol 2021).
 *
 * Attention is a spatial transformer over a context, or plain self-attention. Which heads a block has depends on `num_heads`,
 * `num_head_channels`, `num_heads_upsample` and `legacy` in the original's ways.
 */

import type { UNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { dim, multiplyDims } from '../graph/dim.ts';
import { add, concat, silu } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { extensionHooks, extensionInputs } from '../extensions/extension.ts';
import { attentionBlock } from '../nn/attention-block.ts';
import { convLayer } from '../nn/conv.ts';
import { embedding } from '../nn/embedding.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import type { UNetHooks } from '../nn/hooks.ts';
import { linearLayer } from '../nn/linear.ts';
import { groupNormLayer } from '../nn/norm.ts';
import { upsample } from '../nn/resample.ts';
import { resBlock } from '../nn/res-block.ts';
import { spatialTransformer } from '../nn/spatial-transformer.ts';
import { timeEmbed } from '../nn/timestep-embedding.ts';
import { need, type NetworkSymbols, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';
import {
  type AttentionLayer,
  type DownPathConfig,
  downPath,
  levelWidth,
  middleBlock,
  resBlockOptions,
  resBlocksAt,
} from './unet-down-path.ts';

export interface UNetInputs {
  /** Noisy latents, with concatenated conditions, [b, in_channels, h, w]; height and width divisible by 2^(levels - 1). */
  readonly x: Sym;
  /** Timesteps, possibly fractional, float32 [b]. */
  readonly timesteps: Sym;
  /** Condition of the cross-attention, [b, tokens, context_dim]; needed with `use_spatial_transformer`. */
  readonly context?: Sym | undefined;
  /** Class labels, int64 [b], with `num_classes`; a vector, float32 [b, adm_in_channels], with `adm_in_channels`. */
  readonly y?: Sym | undefined;
}

/** Heads and their width in a spatial transformer over `channels`. */
function transformerHeads(config: UNetConfig, channels: number): { heads: number; headWidth: number } {
  const { num_heads, num_head_channels } = config;
  const heads = num_head_channels === -1 ? num_heads : Math.floor(channels / num_head_channels);
  return {
    heads,
    headWidth: num_head_channels === -1 || config.legacy ? Math.floor(channels / heads) : num_head_channels,
  };
}

/** Heads of an AttentionBlock over `channels`. `num_heads_upsample` counts in the output blocks, with `legacy` and without `num_head_channels`. */
function blockHeads(config: UNetConfig, channels: number, part: 'down' | 'up'): number {
  const { num_heads, num_head_channels, num_heads_upsample } = config;
  if (num_head_channels !== -1) return channels / num_head_channels;
  if (!config.legacy) return channels / Math.floor(channels / num_heads);
  return part === 'up' && num_heads_upsample !== -1 ? num_heads_upsample : num_heads;
}

/** Transformer blocks of one attention layer. The middle block has as many as the last level is given, even if that level has none. */
function depthAt({ transformer_depth: depth }: UNetConfig, level: number): number {
  return typeof depth === 'number' ? depth : (depth[level] ?? 1);
}

function attentionOf(
  config: UNetConfig,
  context: Sym | undefined,
  hooks: UNetHooks,
  part: 'down' | 'middle' | 'up',
): AttentionLayer {
  return (p, x, level) => {
    const channels = fixedSize(x, 1);
    if (!config.use_spatial_transformer) {
      return attentionBlock(p, x, {
        heads: blockHeads(config, channels, part === 'up' ? 'up' : 'down'),
        groups: config.norm_num_groups,
        order: config.use_new_attention_order ? 'new' : 'legacy',
      });
    }
    if (!context)
      throw new StableDiffusionError(
        'invalid-argument',
        'A UNet with spatial transformers needs a context [batch, tokens, context_dim].',
      );
    return spatialTransformer(p, x, context, {
      ...transformerHeads(config, channels),
      depth: depthAt(config, level),
      groups: config.norm_num_groups,
      linear: config.use_linear_in_transformer,
      selfAttention: part === 'middle' || config.disable_self_attentions?.[level] !== true,
      crossAttention: hooks.crossAttention,
      hooks,
      place: { level, part },
    });
  };
}

/** What the condition adds to the timestep's embedding: labels looked up, or a vector through two linear layers. */
function labelEmbedding(p: Params, config: UNetConfig, y: Sym): Sym {
  const width = 4 * config.model_channels;
  const scope = p.at('label_emb');
  if (config.num_classes !== null) return embedding(scope, y, config.num_classes, width);
  return scope.module(() => linearLayer(scope.at('0.2'), silu(linearLayer(scope.at('0.0'), y, width)), width));
}

/** The second half: `output_blocks`, each taking the latest skip connection. */
export function upPath(
  p: Params,
  config: DownPathConfig,
  middle: Sym,
  skips: readonly Sym[],
  emb: Sym,
  attention: AttentionLayer,
  hooks: UNetHooks = {},
): Sym {
  const { channel_mult, attention_resolutions, conv_resample, resblock_updown } = config;
  const { block: around = (_, run) => run(), skip: onSkip = (value) => value } = hooks;
  const blocks = p.at('output_blocks');
  const stack = skips.map((value, i) => () => onSkip(value, i));
  let h = middle;
  let index = 0;
  for (let level = channel_mult.length - 1; level >= 0; level--) {
    const options = resBlockOptions(config, levelWidth(config, level), hooks);
    const count = resBlocksAt(config, level) + 1;
    for (let i = 0; i < count; i++) {
      const scope = blocks.at(index);
      const skip = stack.pop()?.();
      const body = (): Sym => {
        const [own, side] = skip && hooks.join ? hooks.join(h, skip, level) : [h, skip];
        let x = resBlock(scope.at(0), side ? concat([own, side], 1) : own, emb, options);
        let layer = 1;
        if (attention_resolutions.includes(2 ** level)) x = attention(scope.at(layer++), x, level);
        if (level === 0 || i < count - 1) return x;
        return resblock_updown
          ? resBlock(scope.at(layer), x, emb, { ...options, resample: 'up' })
          : upsample(scope.at(layer), x, conv_resample, { pad: hooks.padding, like: skips[stack.length - 1] });
      };
      h = around(`output_blocks.${index++}`, () => scope.module(body));
    }
  }
  return h;
}

/** Throws `invalid-argument` for a `y` that the network does not take, or lacks. */
function checkLabels(config: UNetConfig, y: Sym | undefined): void {
  const { num_classes: classes, adm_in_channels: vector } = config;
  if ((classes !== null || vector !== null) === (y !== undefined)) return;
  const needs = classes === null ? `a vector y of ${vector} elements` : `labels y of its ${classes} classes`;
  throw new StableDiffusionError(
    'invalid-argument',
    y ? 'Labels y were given, and the UNet has no classes.' : `The UNet needs ${needs}.`,
  );
}

/** The first half of the network and its middle: the skip connections, the middle's output and the embedding that goes on. */
export function unetEncoder(
  p: Params,
  config: UNetConfig,
  { x, timesteps, context, y }: UNetInputs,
  hooks: UNetHooks = {},
): { readonly skips: readonly [Sym, ...Sym[]]; readonly middle: Sym; readonly emb: Sym } {
  if (config.num_heads === -1 && config.num_head_channels === -1)
    throw new StableDiffusionError('config-invalid', 'A UNet needs num_heads or num_head_channels.');
  checkLabels(config, y);
  const time = timeEmbed(p.at('time_embed'), timesteps, config.model_channels);
  const emb = y ? add(time, labelEmbedding(p, config, y)) : time;
  const skips = downPath(p, config, x, emb, attentionOf(config, context, hooks, 'down'), hooks);
  const skipped = skips.at(-1) ?? skips[0];
  const last = hooks.afterSkip ? hooks.afterSkip(skipped, skips.length - 1) : skipped;
  const middle = middleBlock(p, config, last, emb, attentionOf(config, context, hooks, 'middle'), hooks);
  return { skips, middle, emb };
}

/** Predicted noise (or v, or x0) of the shape [b, out_channels, h, w]; with `n_embed`, logits over codebook ids [b, n_embed, h, w]. */
export function unet(p: Params, config: UNetConfig, inputs: UNetInputs, hooks: UNetHooks = {}): Sym {
  const { skips, middle, emb } = unetEncoder(p, config, inputs, hooks);
  const h = upPath(p, config, middle, skips, emb, attentionOf(config, inputs.context, hooks, 'up'), hooks);

  const norm = { groups: config.norm_num_groups, epsilon: 1e-5 };
  const { padding: pad } = hooks;
  const out = p.at('out');
  const prediction = out.module(() =>
    convLayer(out.at(2), silu(groupNormLayer(out.at(0), h, norm)), config.out_channels, { kernel: 3, pad }),
  );
  if (config.n_embed === null) return prediction;
  const ids = p.at('id_predictor');
  return ids.module(() => convLayer(ids.at(1), groupNormLayer(ids.at(0), h, norm), config.n_embed ?? 1, { kernel: 1 }));
}

/** Inputs of a UNet's graph, for any size that is a multiple of its unit, or for one size: x [batch, in_channels, height, width], timesteps float32 [batch], context [batch, tokens, context_dim], y int64 [batch] or float32 [batch, width]. */
export function unetInputs(
  config: UNetConfig,
  size?: readonly [height: number, width: number],
): Record<string, InputSpec> {
  const unit = 2 ** (config.channel_mult.length - 1);
  const batch = dim('batch');
  const [height, width] = size ?? [multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))];
  const inputs: Record<string, InputSpec> = {
    x: {
      dtype: 'float32',
      shape: [batch, config.in_channels, height, width],
    },
    timesteps: { dtype: 'float32', shape: [batch] },
  };
  if (config.use_spatial_transformer) {
    if (config.context_dim === null)
      throw new StableDiffusionError('config-invalid', 'A UNet with use_spatial_transformer needs context_dim.');
    inputs['context'] = { dtype: 'float32', shape: [batch, dim('tokens'), config.context_dim] };
  }
  if (config.num_classes !== null) inputs['y'] = { dtype: 'int64', shape: [batch] };
  if (config.adm_in_channels !== null) inputs['y'] = { dtype: 'float32', shape: [batch, config.adm_in_channels] };
  return inputs;
}

/** The symbols of those inputs. */
export function givenUNetInputs(given: NetworkSymbols): UNetInputs {
  return { x: need(given, 'x'), timesteps: need(given, 'timesteps'), context: given['context'], y: given['y'] };
}

/** The UNet's graph, with extensions: the inputs of `unetInputs` and those that extensions declare → out. */
export function traceUNet(config: UNetConfig, { extensions = [], size, ...options }: NetworkTraceOptions = {}): Graph {
  const needs = extensions.find(({ needsSize }) => needsSize);
  if (needs && !size)
    throw new StableDiffusionError('invalid-argument', `The extension ${needs.name} needs the size of the latent.`);
  return traceNetwork(
    { ...unetInputs(config, size), ...extensionInputs(extensions, config, size) },
    (p, given) => {
      const hooks = extensionHooks(extensions, config, given);
      const out = unet(p, config, givenUNetInputs(given), hooks);
      return { out, ...hooks.outputs?.() };
    },
    options,
  );
}
