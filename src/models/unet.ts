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
import { attentionBlock } from '../nn/attention-block.ts';
import { convLayer } from '../nn/conv.ts';
import { embedding } from '../nn/embedding.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { groupNormLayer } from '../nn/norm.ts';
import { upsample } from '../nn/resample.ts';
import { resBlock } from '../nn/res-block.ts';
import { spatialTransformer } from '../nn/spatial-transformer.ts';
import { timeEmbed } from '../nn/timestep-embedding.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';
import { type AttentionLayer, downPath, middleBlock, resBlockOptions, resBlocksAt } from './unet-down-path.ts';

export interface UNetInputs {
  /** Noisy latents, with concatenated conditions, [b, in_channels, h, w]; height and width divisible by 2^(levels - 1). */
  readonly x: Sym;
  /** Timesteps, possibly fractional, float32 [b]. */
  readonly timesteps: Sym;
  /** Condition of the cross-attention, [b, tokens, context_dim]; needed with `use_spatial_transformer`. */
  readonly context?: Sym | undefined;
  /** Class labels, int64 [b]; needed with `num_classes`. */
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

function attentionOf(config: UNetConfig, context: Sym | undefined, part: 'down' | 'up'): AttentionLayer {
  return (p, x) => {
    const channels = fixedSize(x, 1);
    if (!config.use_spatial_transformer) {
      return attentionBlock(p, x, {
        heads: blockHeads(config, channels, part),
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
      depth: config.transformer_depth,
      groups: config.norm_num_groups,
    });
  };
}

/** The second half: `output_blocks`, each taking the latest skip connection. */
function upPath(
  p: Params,
  config: UNetConfig,
  middle: Sym,
  skips: readonly Sym[],
  emb: Sym,
  attention: AttentionLayer,
): Sym {
  const { model_channels, channel_mult, attention_resolutions, conv_resample, resblock_updown } = config;
  const blocks = p.at('output_blocks');
  const stack = [...skips];
  let h = middle;
  let index = 0;
  for (let level = channel_mult.length - 1; level >= 0; level--) {
    const options = resBlockOptions(config, (channel_mult[level] ?? 1) * model_channels);
    const count = resBlocksAt(config, level) + 1;
    for (let i = 0; i < count; i++) {
      const scope = blocks.at(index++);
      const skip = stack.pop();
      h = scope.module(() => {
        let x = resBlock(scope.at(0), skip ? concat([h, skip], 1) : h, emb, options);
        let layer = 1;
        if (attention_resolutions.includes(2 ** level)) x = attention(scope.at(layer++), x);
        if (level === 0 || i < count - 1) return x;
        return resblock_updown
          ? resBlock(scope.at(layer), x, emb, { ...options, resample: 'up' })
          : upsample(scope.at(layer), x, conv_resample);
      });
    }
  }
  return h;
}

/** Predicted noise (or v, or x0) of the shape [b, out_channels, h, w]; with `n_embed`, logits over codebook ids [b, n_embed, h, w]. */
export function unet(p: Params, config: UNetConfig, { x, timesteps, context, y }: UNetInputs): Sym {
  if (config.num_heads === -1 && config.num_head_channels === -1)
    throw new StableDiffusionError('config-invalid', 'A UNet needs num_heads or num_head_channels.');
  if ((config.num_classes !== null) !== (y !== undefined)) {
    throw new StableDiffusionError(
      'invalid-argument',
      config.num_classes === null
        ? 'Labels y were given, and the UNet has no classes.'
        : `The UNet needs labels y of its ${config.num_classes} classes.`,
    );
  }
  let emb = timeEmbed(p.at('time_embed'), timesteps, config.model_channels);
  if (config.num_classes !== null && y)
    emb = add(emb, embedding(p.at('label_emb'), y, config.num_classes, 4 * config.model_channels));
  const skips = downPath(p, config, x, emb, attentionOf(config, context, 'down'));
  const middle = middleBlock(p, config, skips.at(-1) ?? skips[0], emb, attentionOf(config, context, 'down'));
  const h = upPath(p, config, middle, skips, emb, attentionOf(config, context, 'up'));

  const norm = { groups: config.norm_num_groups, epsilon: 1e-5 };
  const out = p.at('out');
  const prediction = out.module(() =>
    convLayer(out.at(2), silu(groupNormLayer(out.at(0), h, norm)), config.out_channels, { kernel: 3 }),
  );
  if (config.n_embed === null) return prediction;
  const ids = p.at('id_predictor');
  return ids.module(() => convLayer(ids.at(1), groupNormLayer(ids.at(0), h, norm), config.n_embed ?? 1, { kernel: 1 }));
}

/** x [batch, in_channels, height, width], timesteps float32 [batch], context [batch, tokens, context_dim], y int64 [batch] → out. */
export function traceUNet(config: UNetConfig, options?: NetworkTraceOptions): Graph {
  const unit = 2 ** (config.channel_mult.length - 1);
  const batch = dim('batch');
  const inputs: Record<string, InputSpec> = {
    x: {
      dtype: 'float32',
      shape: [batch, config.in_channels, multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))],
    },
    timesteps: { dtype: 'float32', shape: [batch] },
  };
  if (config.use_spatial_transformer) {
    if (config.context_dim === null)
      throw new StableDiffusionError('config-invalid', 'A UNet with use_spatial_transformer needs context_dim.');
    inputs['context'] = { dtype: 'float32', shape: [batch, dim('tokens'), config.context_dim] };
  }
  if (config.num_classes !== null) inputs['y'] = { dtype: 'int64', shape: [batch] };
  return traceNetwork(
    inputs,
    (p, given) => ({
      out: unet(p, config, {
        x: need(given, 'x'),
        timesteps: need(given, 'timesteps'),
        context: given['context'],
        y: given['y'],
      }),
    }),
    options,
  );
}
