/** DeepFloyd IF's UNets (https://github.com/deep-floyd/IF, `deepfloyd_if/model/unet.py`; after Saharia et al. 2022, arXiv 2205.11487). */

import type { IfUNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { dim, multiplyDims } from '../graph/dim.ts';
import { add, cast, gelu, silu } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { linearLayer } from '../nn/linear.ts';
import { groupNormLayer, layerNormLayer } from '../nn/norm.ts';
import { attentionPooling, textAttention } from '../nn/text-attention.ts';
import { timestepEmbedding } from '../nn/timestep-embedding.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';
import { upPath } from './unet.ts';
import { type AttentionLayer, type DownPathConfig, downPath, middleBlock } from './unet-down-path.ts';

export interface IfUNetInputs {
  /** Noisy pixels [b, in_channels, h, w], in the later stages with the enlarged smaller picture behind them. */
  readonly x: Sym;
  readonly timesteps: Sym;
  /** The text's vectors [b, n, encoder_dim], padding included. */
  readonly context: Sym;
  /** Those of the text that is pooled: by default the same. A style text goes here. */
  readonly style: Sym;
  /** Noise levels of the smaller picture, float32 [b]. */
  readonly level?: Sym | undefined;
}

const activations = { gelu, silu } as const;

function pathConfig(config: IfUNetConfig): DownPathConfig {
  return {
    ...config,
    conv_resample: true,
    resblock_updown: true,
    dropout: 0,
    blocks: { activation: activations[config.activation], outputScale: config.output_scale },
  };
}

/** A number through its sinusoids and two linear layers: [b] → [b, time_embed_dim]. */
function embedded(p: Params, value: Sym, { model_channels, time_embed_dim: width, activation }: IfUNetConfig): Sym {
  return p.module(() => {
    const hidden = linearLayer(p.at(0), timestepEmbedding(value, model_channels), width);
    return linearLayer(p.at(2), activations[activation](hidden), width);
  });
}

/** The text as one vector, [b, n, encoder_dim] → [b, time_embed_dim]. */
function pooled(p: Params, text: Sym, { att_pool_heads: heads, time_embed_dim: width }: IfUNetConfig): Sym {
  return p.module(() => {
    const gathered = attentionPooling(p.at(1), layerNormLayer(p.at(0), text), heads);
    return layerNormLayer(p.at(3), linearLayer(p.at(2), gathered, width));
  });
}

/** → [b, out_channels, h, w]: the noise, and where its variance lies between its bounds. */
export function ifUNet(p: Params, config: IfUNetConfig, { x, timesteps, context, style, level }: IfUNetInputs): Sym {
  if (config.noise_level !== (level !== undefined))
    throw new StableDiffusionError(
      'invalid-argument',
      config.noise_level ? 'The UNet needs noise levels y.' : 'Noise levels y were given, and the UNet takes none.',
    );
  const time = embedded(p.at('time_embed'), timesteps, config);
  const augmented = level ? add(time, embedded(p.at('aug_proj'), level, config)) : time;
  const embedding = add(augmented, pooled(p.at('encoder_pooling'), style, config));
  const text = linearLayer(p.at('encoder_proj'), context, config.encoder_channels);
  const attend: AttentionLayer = (scope, image) =>
    textAttention(scope, image, text, {
      heads: fixedSize(image, 1) / config.num_head_channels,
      groups: config.norm_num_groups,
      selfAttention: !config.disable_self_attentions,
    });
  const path = pathConfig(config);
  const skips = downPath(p, path, x, embedding, attend);
  const middle = middleBlock(p, path, skips.at(-1) ?? skips[0], embedding, attend);
  const h = upPath(p, path, middle, skips, embedding, attend);
  const out = p.at('out');
  return out.module(() => {
    const normed = groupNormLayer(out.at(0), h, { groups: config.norm_num_groups, epsilon: 1e-5 });
    return convLayer(out.at(2), activations[config.activation](normed), config.out_channels, { kernel: 3 });
  });
}

/** x [batch, in_channels, height, width], timesteps float32 [batch], context and style [batch, tokens, encoder_dim], y int64 [batch] → out. */
export function traceIfUNet(config: IfUNetConfig, options?: NetworkTraceOptions): Graph {
  const unit = 2 ** (config.channel_mult.length - 1);
  const batch = dim('batch');
  const text = { dtype: 'float32', shape: [batch, dim('tokens'), config.encoder_dim] } as const;
  const inputs: Record<string, InputSpec> = {
    x: {
      dtype: 'float32',
      shape: [batch, config.in_channels, multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))],
    },
    timesteps: { dtype: 'float32', shape: [batch] },
    context: text,
    style: text,
    ...(config.noise_level ? { y: { dtype: 'int64' as const, shape: [batch] } } : {}),
  };
  return traceNetwork(
    inputs,
    (p, given) => ({
      out: ifUNet(p, config, {
        x: need(given, 'x'),
        timesteps: need(given, 'timesteps'),
        context: need(given, 'context'),
        style: need(given, 'style'),
        level: given['y'] && cast(given['y'], 'float32'),
      }),
    }),
    options,
  );
}
