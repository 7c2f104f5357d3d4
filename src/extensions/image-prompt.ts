/**
 * Lets every cross-attention attend to image tokens too, with keys and values of their own (IP-Adapter, Ye et al. 2023, arXiv 2308.06721):
 * attention(q, k, v) + Σ scale · attention(q, k', v'), over one or several adapters.
 *
 * Their parameters, `to_k_ip.N` and `to_v_ip.N`, are those of a UNet's attention `….attn2`; `checkpoints/layouts/ip-adapter.ts` names them so.
 */

import { StableDiffusionError } from '../errors.ts';
import { dim, multiplyDims } from '../graph/dim.ts';
import { add, attention, linear, mul, reshape } from '../graph/functions.ts';
import type { InputSpec, Sym } from '../graph/trace.ts';
import type { Extension } from './extension.ts';

/**
 * Inputs of adapter N: `image_tokens.N` float32 [batch, tokens, context_dim], and `image_scale.N.LEVEL` float32 [batch, h, w] for each level:
 * how strongly a place attends to them.
 */
export function imagePrompts(count: number): Extension {
  const adapters = Array.from({ length: count }, (_, n) => n);
  return {
    name: `image-prompts-${count}`,
    inputs(config, sides) {
      const { context_dim, channel_mult } = config;
      if (context_dim === null)
        throw new StableDiffusionError('invalid-argument', 'An IP-Adapter needs a UNet with cross-attention.');
      const inputs: Record<string, InputSpec> = {};
      for (const n of adapters) {
        const tokens = [dim('batch'), dim(`image_tokens_${n}`), context_dim];
        inputs[`image_tokens.${n}`] = { dtype: 'float32', shape: tokens };
        for (const level of channel_mult.keys())
          inputs[`image_scale.${n}.${level}`] = {
            dtype: 'float32',
            shape: [dim('batch'), ...sides(level)],
          };
      }
      return inputs;
    },
    hooks: ({ context_dim }, given) => ({
      crossAttention(attended, { p, query, heads, level }) {
        const inner = query.shape.at(-1) as number;
        return adapters.reduce((gathered, n) => {
          const tokens = given[`image_tokens.${n}`] as Sym;
          const scale = given[`image_scale.${n}.${level}`] as Sym;
          const [keys, values] = ['to_k_ip', 'to_v_ip'].map((name) =>
            linear(
              tokens,
              p
                .at(name)
                .at(n)
                .get('weight', [inner, context_dim ?? 1]),
            ),
          ) as [Sym, Sym];
          const image = attention(query, keys, values, { heads });
          const [batch = 1, h = 1, w = 1] = scale.shape;
          return add(gathered, mul(reshape(scale, [batch, multiplyDims(h, w), 1]), image));
        }, attended);
      },
    }),
  };
}
