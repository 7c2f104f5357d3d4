/**
 * Objects in places (GLIGEN, Li et al. 2023, arXiv 2301.07093): between self-attention and cross-attention a gated self-attention over the
 * picture's tokens and the objects, then a gated feed-forward (`GatedSelfAttentionDense`).
 *
 * Their parameters, `….fuser`, are those of a UNet's transformer block; `checkpoints/layouts/gligen.ts` names them so.
 */

import { StableDiffusionError } from '../errors.ts';
import { dim } from '../graph/dim.ts';
import { add, attention, concat, mul, reshape, slice, tanh } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { linearLayer } from '../nn/linear.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { gatedFeedForward } from '../nn/spatial-transformer.ts';
import type { Extension } from './extension.ts';

/** What the gates add to tokens [b, n, c]. */
function gated(p: Params, x: Sym, objects: Sym, scale: Sym, heads: number): Sym {
  const width = fixedSize(x, -1);
  const [batch = 1, count = 1] = x.shape;
  const strength = (name: string): Sym => mul(reshape(scale, [batch, 1, 1]), tanh(p.get(name, [])));
  const joint = layerNormLayer(p.at('norm1'), concat([x, linearLayer(p.at('linear'), objects, width)], 1));
  const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) =>
    linearLayer(p.at('attn').at(name), joint, width, { bias: false }),
  ) as [Sym, Sym, Sym];
  const seen = slice(attention(q, k, v, { heads }), 1, 0, count);
  const first = mul(strength('alpha_attn'), linearLayer(p.at('attn.to_out.0'), seen, width));
  const dense = gatedFeedForward(p.at('ff'), layerNormLayer(p.at('norm2'), add(x, first)));
  return add(first, mul(strength('alpha_dense'), dense));
}

/** Inputs: `grounding.objects` float32 [batch, objects, context_dim], and `grounding.scale` [batch]: 0 leaves the network as it is. */
export const grounding: Extension = {
  name: 'grounding',
  inputs({ context_dim }) {
    if (context_dim === null)
      throw new StableDiffusionError('invalid-argument', 'GLIGEN needs a UNet with cross-attention.');
    return {
      'grounding.objects': { dtype: 'float32', shape: [dim('batch'), dim('objects'), context_dim] },
      'grounding.scale': { dtype: 'float32', shape: [dim('batch')] },
    };
  },
  hooks: (_, given) => ({
    tokens(normed, run, { kind, p, block, heads }) {
      const attended = run(normed);
      if (kind !== 'self') return attended;
      const [objects, scale] = [given['grounding.objects'] as Sym, given['grounding.scale'] as Sym];
      return add(attended, gated(p.at('fuser'), add(attended, block), objects, scale, heads));
    },
  }),
};
