/** Dropout (Srivastava et al. 2014; `torch.nn.Dropout`). The mask is an input of a graph for training; other graphs have none. */

import { mul } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';

/** x with elements left out with a probability, and the others divided by the rest of it. The input `dropout.PATH` has 0 or 1 / (1 - rate). */
export function dropout(p: Params, x: Sym, rate: number): Sym {
  const { builder } = p;
  const report = builder.onDropout;
  if (rate === 0 || !report) return x;
  const name = `dropout.${p.prefix ? `${p.prefix}.` : ''}${p.path}`;
  report({ name, shape: x.shape, rate });
  return mul(x, builder.input(name, 'float32', x.shape));
}
