/** The transformer of CLIP under the original's names (openai/CLIP `clip.model.Transformer`): `resblocks.N`, QuickGELU, joint q, k, v projection. */

import { add, attention, chunk, linear, quickGelu, transpose } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';
import { linearLayer } from './linear.ts';
import { layerNormLayer } from './norm.ts';

/** `ResidualAttentionBlock`: x [b, tokens, width] → the same shape. */
export function residualAttentionBlock(p: Params, x: Sym, heads: number, causal: boolean): Sym {
  const width = fixedSize(x, -1);
  return p.module(() => {
    const attn = p.at('attn');
    const joint = linear(
      layerNormLayer(p.at('ln_1'), x),
      attn.get('in_proj_weight', [3 * width, width]),
      attn.get('in_proj_bias', [3 * width]),
    );
    const [q, k, v] = chunk(joint, -1, 3) as [Sym, Sym, Sym];
    const h = add(x, linearLayer(attn.at('out_proj'), attention(q, k, v, { heads, causal }), width));
    const inner = quickGelu(linearLayer(p.at('mlp.c_fc'), layerNormLayer(p.at('ln_2'), h), 4 * width));
    return add(h, linearLayer(p.at('mlp.c_proj'), inner, width));
  });
}

/** x [b, tokens, width] → the same shape. The original works on [tokens, b, width], and so its modules' outputs are tapped in that layout. */
export function openAiClipLayers(
  p: Params,
  x: Sym,
  options: { readonly layers: number; readonly heads: number; readonly causal: boolean },
): Sym {
  let h = x;
  for (let i = 0; i < options.layers; i++) {
    const block = p.at('resblocks').at(i);
    h = residualAttentionBlock(block, h, options.heads, options.causal);
    block.mark(transpose(h, [1, 0, 2]));
  }
  return h;
}
