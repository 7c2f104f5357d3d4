/**
 * Lets every cross-attention attend to image tokens too, with keys and values of their own (IP-Adapter, Ye et al. 2023, arXiv 2308.06721):
 * attention(q, k, v) + scale · attention(q, k', v').
 *
 * Its parameters, `to_k_ip` and `to_v_ip`, are those of a UNet's attention `….attn2`; `checkpoints/layouts/ip-adapter.ts` names them so.
 */

import { StableDiffusionError } from '../errors.ts';
import { dim } from '../graph/dim.ts';
import { add, attention, linear, mul, reshape } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import type { Extension } from './extension.ts';

/** Inputs: `image_tokens` float32 [batch, tokens, context_dim] and `image_scale` float32 [batch]. */
export const imagePrompt: Extension = {
  name: 'image-prompt',
  inputs({ context_dim }) {
    if (context_dim === null)
      throw new StableDiffusionError('invalid-argument', 'An IP-Adapter needs a UNet with cross-attention.');
    return {
      image_tokens: { dtype: 'float32', shape: [dim('batch'), dim('image_tokens'), context_dim] },
      image_scale: { dtype: 'float32', shape: [dim('batch')] },
    };
  },
  hooks: ({ context_dim }, given) => ({
    crossAttention(attended, { p, query, heads }) {
      const tokens = given['image_tokens'] as Sym;
      const scale = given['image_scale'] as Sym;
      const inner = query.shape.at(-1) as number;
      const [keys, values] = ['to_k_ip', 'to_v_ip'].map((name) =>
        linear(tokens, p.at(name).get('weight', [inner, context_dim ?? 1])),
      ) as [Sym, Sym];
      const image = attention(query, keys, values, { heads });
      return add(attended, mul(reshape(scale, [scale.shape[0] ?? 1, 1, 1]), image));
    },
  }),
};
