/** The noisy classifier: the first half of a UNet with pooling (`openaimodel.EncoderUNetModel`, Dhariwal & Nichol 2021). */

import type { EncoderUNetConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { dim } from '../graph/dim.ts';
import { concat, mean, relu, reshape, silu } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { attentionBlock, attentionPool } from '../nn/attention-block.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { linearLayer } from '../nn/linear.ts';
import { groupNormLayer } from '../nn/norm.ts';
import { timeEmbed } from '../nn/timestep-embedding.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';
import { type AttentionLayer, downPath, middleBlock } from './unet-down-path.ts';

/** Side of the image at the lowest resolution, which attention pooling fixes. */
function lowestSide(config: EncoderUNetConfig): number {
  const side = typeof config.image_size === 'number' ? config.image_size : (config.image_size[0] ?? 0);
  return Math.floor(side / 2 ** (config.channel_mult.length - 1));
}

/** x [b, in_channels, h, w], timesteps float32 [b] → logits [b, out_channels]. */
export function encoderUNet(
  p: Params,
  config: EncoderUNetConfig,
  { x, timesteps }: { readonly x: Sym; readonly timesteps: Sym },
): Sym {
  const { num_head_channels, num_heads, out_channels, pool } = config;
  const norm = { groups: config.norm_num_groups, epsilon: 1e-5 };
  const attention: AttentionLayer = (scope, image) =>
    attentionBlock(scope, image, {
      heads: num_head_channels === -1 ? num_heads : fixedSize(image, 1) / num_head_channels,
      groups: config.norm_num_groups,
      order: config.use_new_attention_order ? 'new' : 'legacy',
    });
  const emb = timeEmbed(p.at('time_embed'), timesteps, config.model_channels);
  const blocks = downPath(p, config, x, emb, attention);
  const h = middleBlock(p, config, blocks.at(-1) ?? blocks[0], emb, attention);
  const out = p.at('out');
  return out.module(() => {
    switch (pool) {
      case 'adaptive': {
        const pooled = mean(silu(groupNormLayer(out.at(0), h, norm)), [2, 3], { keepDims: true });
        return reshape(convLayer(out.at(3), pooled, out_channels, { kernel: 1 }), [x.shape[0] ?? 1, out_channels]);
      }
      case 'attention': {
        if (num_head_channels === -1)
          throw new StableDiffusionError(
            'config-invalid',
            'EncoderUNetModel with pool attention needs num_head_channels.',
          );
        const heads = Math.floor(fixedSize(h, 1) / num_head_channels);
        return attentionPool(out.at(2), silu(groupNormLayer(out.at(0), h, norm)), {
          heads,
          side: lowestSide(config),
          out: out_channels,
        });
      }
      case 'spatial':
      case 'spatial_v2': {
        const features = linearLayer(
          out.at(0),
          concat(
            [...blocks, h].map((block) => mean(block, [2, 3])),
            1,
          ),
          2048,
        );
        if (pool === 'spatial') return linearLayer(out.at(2), relu(features), out_channels);
        return linearLayer(out.at(3), silu(groupNormLayer(out.at(1), features, norm)), out_channels);
      }
    }
  });
}

/** x [batch, in_channels, height, width], timesteps float32 [batch] → out [batch, out_channels]. */
export function traceEncoderUNet(config: EncoderUNetConfig, options?: NetworkTraceOptions): Graph {
  const batch = dim('batch');
  const side = lowestSide(config) * 2 ** (config.channel_mult.length - 1);
  const [height, width] = config.pool === 'attention' ? [side, side] : [dim('height'), dim('width')];
  return traceNetwork(
    {
      x: { dtype: 'float32', shape: [batch, config.in_channels, height, width] },
      timesteps: { dtype: 'float32', shape: [batch] },
    },
    (p, given) => ({ out: encoderUNet(p, config, { x: need(given, 'x'), timesteps: need(given, 'timesteps') }) }),
    options,
  );
}
