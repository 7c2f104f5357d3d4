/**
 * Token merging of queries alone (Bolya & Hoffman 2023, arXiv 2303.17604, in ComfyUI's form): self-attention at the full size of the latent has
 * fewer queries, and keys and values of all tokens. In each field one token takes in the others. The caller draws it for each attention and gives
 * it as an input.
 */

import type { UNetConfig } from '../config/network-config.ts';
import { dim, multiplyDims } from '../graph/dim.ts';
import { reshape, slice } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import type { Extension } from './extension.ts';
import { matchTokens } from './token-merging.ts';

/** Sides of the fields of tokens. */
export const fieldSide = 2;

/** Name of the input: int64 [batch, attentions, tokens], the same for every image: destinations in order, then the others. */
export const tokenOrderInput = 'token_order';

/** Self-attentions at the full size of the latent. */
export function fullSizeAttentions({
  attention_resolutions,
  num_res_blocks,
  transformer_depth,
  use_spatial_transformer,
}: UNetConfig): number {
  if (!use_spatial_transformer || !attention_resolutions.includes(1)) return 0;
  const blocks = typeof num_res_blocks === 'number' ? num_res_blocks : (num_res_blocks[0] ?? 0);
  const depth = typeof transformer_depth === 'number' ? transformer_depth : (transformer_depth[0] ?? 0);
  return depth * (2 * blocks + 1);
}

/** For graphs of one size. `ratio` of the tokens merge, as many as there are besides the destinations at most. */
export function queryMerging(ratio: number): Extension {
  return {
    name: `query-merging ${ratio}`,
    needsSize: true,
    inputs: (config, sides) => ({
      [tokenOrderInput]: {
        dtype: 'int64',
        shape: [dim('batch'), fullSizeAttentions(config), multiplyDims(...sides(0))],
      },
    }),
    hooks(_, given) {
      const latent = given['x'] as Sym;
      const [height, width] = [fixedSize(latent, 2), fixedSize(latent, 3)];
      const tokens = height * width;
      const count = Math.floor(height / fieldSide) * Math.floor(width / fieldSide);
      const merged = count === 0 ? 0 : Math.min(tokens - count, Math.trunc(tokens * ratio));
      let attentions = 0;
      return {
        queries(normed, run, { level }) {
          if (level !== 0 || merged <= 0) return run(normed);
          const orders = given[tokenOrderInput] as Sym;
          const own = slice(slice(orders, 0, 0, 1), 1, attentions, attentions + 1);
          attentions += 1;
          const order = reshape(own, [tokens]);
          const { merge, unmerge } = matchTokens(normed, { order, count }, merged);
          return unmerge(run(merge(normed)));
        },
      };
    },
  };
}
