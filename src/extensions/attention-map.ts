/**
 * What the middle block's self-attention looks at (Hong et al. 2023, "Improving Sample Quality of Diffusion Models Using Self-Attention
 * Guidance", arXiv 2210.00939): a further output, for `diffusion/self-attention-guidance.ts`.
 */

import { add, matmul, mul, reshape, slice, softmax, sum } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import type { Extension } from './extension.ts';

/** Name of the output: float32 [batch, tokens], the attention that each token receives from all, averaged over the heads. */
export const attentionMapOutput = 'middle_attention';

/** Attention that each key receives, [b, m], from queries and keys [b, n, heads · width]. */
function received(q: Sym, k: Sym, heads: number): Sym {
  const width = fixedSize(q, 2) / heads;
  const maps = Array.from({ length: heads }, (_, head) => {
    const part = (x: Sym): Sym => slice(x, 2, head * width, (head + 1) * width);
    const scores = matmul(part(q), part(k), { transposeB: true });
    return sum(softmax(mul(scores, 1 / Math.sqrt(width)), -1), [1], { keepDims: true });
  });
  let total = maps[0] as Sym;
  for (const map of maps.slice(1)) total = add(total, map);
  return mul(reshape(total, [total.shape[0] ?? 1, total.shape[2] ?? 1]), 1 / heads);
}

export const attentionMap: Extension = {
  name: 'attention-map',
  inputs: () => ({}),
  hooks: () => {
    let map: Sym | undefined;
    return {
      attend: (attend, site) => {
        if (site.kind !== 'self' || site.part !== 'middle' || map) return attend;
        return (q, k, v) => {
          map ??= received(q, k, site.heads);
          return attend(q, k, v);
        };
      },
      outputs: (): Readonly<Record<string, Sym>> => (map ? { [attentionMapOutput]: map } : {}),
    };
  },
};
