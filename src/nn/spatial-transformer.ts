/** Transformer over the pixels of an image with cross-attention to a context (`ldm.modules.attention.SpatialTransformer`, Rombach et al. 2022). */

import { add, attention, chunk, gelu, mul } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from './conv.ts';
import { fixedSize } from './fixed-size.ts';
import type { Attend, AttentionSite, TokensSite, UNetHooks } from './hooks.ts';
import { linearLayer } from './linear.ts';
import { groupNormLayer, layerNormLayer } from './norm.ts';
import { toImage, toTokens } from './tokens.ts';

export interface Heads {
  readonly heads: number;
  readonly headWidth: number;
}

/** `CrossAttention`: queries from x [b, n, c], keys and values from context [b, m, e]; projections without bias, output with. */
function crossAttention(
  p: Params,
  x: Sym,
  context: Sym,
  { heads, headWidth, hooks = {}, place }: SpatialTransformerOptions,
  kind: AttentionSite['kind'],
  hook?: UNetHooks['crossAttention'],
): Sym {
  const inner = heads * headWidth;
  return p.module(() => {
    const site: AttentionSite = { kind, p, heads, ...(place ?? { level: 0, part: 'down' }) };
    const { attentionContext: from = (value) => value, attend: around = (inside) => inside } = hooks;
    const q = linearLayer(p.at('to_q'), x, inner, { bias: false });
    const k = linearLayer(p.at('to_k'), from(context, 'key', site), inner, { bias: false });
    const v = linearLayer(p.at('to_v'), from(context, 'value', site), inner, { bias: false });
    const attend: Attend = (queries, keys, values) => attention(queries, keys, values, { heads });
    const attended = around(attend, site)(q, k, v);
    const gathered = hook ? hook(attended, { p, query: q, heads, level: site.level }) : attended;
    return linearLayer(p.at('to_out.0'), gathered, fixedSize(x, -1));
  });
}

/** `FeedForward` with GEGLU (Shazeer 2020): value first, gate second, four times the width inside. */
export function gatedFeedForward(p: Params, x: Sym): Sym {
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
function transformerBlock(p: Params, tokens: Sym, context: Sym, image: Sym, options: SpatialTransformerOptions): Sym {
  const { hooks, place, selfAttention = true } = options;
  const site = (kind: TokensSite['kind']): TokensSite => ({
    kind,
    block: tokens,
    p,
    heads: options.heads,
    image,
    level: place?.level ?? 0,
  });
  const part = (kind: TokensSite['kind'], normed: Sym, run: (tokens: Sym) => Sym): Sym =>
    hooks?.tokens ? hooks.tokens(normed, run, site(kind)) : run(normed);
  return p.module(() => {
    let x = tokens;
    const own = (h: Sym): Sym => {
      const ask = (queries: Sym): Sym =>
        crossAttention(p.at('attn1'), queries, selfAttention ? h : context, options, 'self');
      return hooks?.queries ? hooks.queries(h, ask, site('self')) : ask(h);
    };
    x = add(part('self', layerNormLayer(p.at('norm1'), x), own), x);
    const other = (h: Sym): Sym => crossAttention(p.at('attn2'), h, context, options, 'cross', options.crossAttention);
    x = add(part('cross', layerNormLayer(p.at('norm2'), x), other), x);
    return add(
      part('feed-forward', layerNormLayer(p.at('norm3'), x), (h) => gatedFeedForward(p.at('ff'), h)),
      x,
    );
  });
}

export interface SpatialTransformerOptions extends Heads {
  /** Number of transformer blocks. */
  readonly depth: number;
  readonly groups: number;
  /** Projections before and after are linear layers (`use_linear`), not 1x1 convolutions. Default false. */
  readonly linear?: boolean;
  /** Without it the first attention of a block is over the context too (`disable_self_attn`). Default true. */
  readonly selfAttention?: boolean;
  readonly crossAttention?: UNetHooks['crossAttention'];
  /** Hooks around attentions and parts of a block, and where the block lies for them. */
  readonly hooks?: Pick<UNetHooks, 'attentionContext' | 'attend' | 'tokens' | 'queries'> | undefined;
  readonly place?: Pick<AttentionSite, 'level' | 'part'> | undefined;
}

/** x [b, c, h, w], context [b, tokens, width] → [b, c, h, w]. */
export function spatialTransformer(p: Params, x: Sym, context: Sym, options: SpatialTransformerOptions): Sym {
  const { depth, groups, heads, headWidth, linear = false } = options;
  return p.module(() => {
    const normed = groupNormLayer(p.at('norm'), x, { groups, epsilon: 1e-6 });
    const inner = heads * headWidth;
    let tokens = linear
      ? linearLayer(p.at('proj_in'), toTokens(normed), inner)
      : toTokens(convLayer(p.at('proj_in'), normed, inner, { kernel: 1 }));
    for (let i = 0; i < depth; i++)
      tokens = transformerBlock(p.at('transformer_blocks').at(i), tokens, context, x, options);
    const channels = fixedSize(x, 1);
    const out = linear
      ? toImage(linearLayer(p.at('proj_out'), tokens, channels), x)
      : convLayer(p.at('proj_out'), toImage(tokens, x), channels, { kernel: 1 });
    return add(out, x);
  });
}
