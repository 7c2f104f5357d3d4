/** Transformer over the pixels of an image with cross-attention to a context (`ldm.modules.attention.SpatialTransformer`, Rombach et al. 2022). */

import { add, attention, chunk, gelu, mul } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from './conv.ts';
import { fixedSize } from './fixed-size.ts';
import { linearLayer } from './linear.ts';
import { groupNormLayer, layerNormLayer } from './norm.ts';
import { toImage, toTokens } from './tokens.ts';

export interface Heads {
  readonly heads: number;
  readonly headWidth: number;
}

/** `CrossAttention`: queries from x [b, n, c], keys and values from context [b, m, e]; projections without bias, output with. */
function crossAttention(p: Params, x: Sym, context: Sym, { heads, headWidth }: Heads): Sym {
  const inner = heads * headWidth;
  return p.module(() => {
    const q = linearLayer(p.at('to_q'), x, inner, { bias: false });
    const k = linearLayer(p.at('to_k'), context, inner, { bias: false });
    const v = linearLayer(p.at('to_v'), context, inner, { bias: false });
    return linearLayer(p.at('to_out.0'), attention(q, k, v, { heads }), fixedSize(x, -1));
  });
}

/** `FeedForward` with GEGLU (Shazeer 2020): value first, gate second, four times the width inside. */
function gatedFeedForward(p: Params, x: Sym): Sym {
  const width = fixedSize(x, -1);
  return p.module(() => {
    const gated = p.at('net.0').module(() => {
      const [value, gate] = chunk(linearLayer(p.at('net.0.proj'), x, 8 * width), -1, 2) as [Sym, Sym];
      return mul(value, gelu(gate));
    });
    return linearLayer(p.at('net.2'), gated, width);
  });
}

/** `BasicTransformerBlock`: self-attention, cross-attention and feed-forward, each on a norm of the sum so far. */
function transformerBlock(p: Params, tokens: Sym, context: Sym, heads: Heads): Sym {
  return p.module(() => {
    let x = tokens;
    const normed = layerNormLayer(p.at('norm1'), x);
    x = add(crossAttention(p.at('attn1'), normed, normed, heads), x);
    x = add(crossAttention(p.at('attn2'), layerNormLayer(p.at('norm2'), x), context, heads), x);
    return add(gatedFeedForward(p.at('ff'), layerNormLayer(p.at('norm3'), x)), x);
  });
}

export interface SpatialTransformerOptions extends Heads {
  /** Number of transformer blocks. */
  readonly depth: number;
  readonly groups: number;
}

/** x [b, c, h, w], context [b, tokens, width] → [b, c, h, w]. */
export function spatialTransformer(p: Params, x: Sym, context: Sym, options: SpatialTransformerOptions): Sym {
  const { depth, groups, heads, headWidth } = options;
  return p.module(() => {
    const normed = groupNormLayer(p.at('norm'), x, { groups, epsilon: 1e-6 });
    const projected = convLayer(p.at('proj_in'), normed, heads * headWidth, { kernel: 1 });
    let tokens = toTokens(projected);
    for (let i = 0; i < depth; i++)
      tokens = transformerBlock(p.at('transformer_blocks').at(i), tokens, context, options);
    return add(convLayer(p.at('proj_out'), toImage(tokens, x), fixedSize(x, 1), { kernel: 1 }), x);
  });
}
