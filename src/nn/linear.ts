/** Fully connected layer (`torch.nn.Linear`). */

import { linear } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';

/** x [..., in] → [..., out]; parameters `weight` [out, in] and, unless `bias` is false, `bias` [out]. */
export function linearLayer(p: Params, x: Sym, out: number, options: { readonly bias?: boolean } = {}): Sym {
  return p.module(() => {
    const weight = p.get('weight', [out, fixedSize(x, -1)]);
    return linear(x, weight, options.bias === false ? undefined : p.get('bias', [out]));
  });
}
