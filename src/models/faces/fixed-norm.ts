/** Batch norm in a finished network (`torch.nn.BatchNorm2d` in evaluation). */

import type { Params, Sym } from '../../graph/trace.ts';
import { batchNormFixed } from '../../nn/batch-norm.ts';
import { fixedSize } from '../../nn/fixed-size.ts';

/** x [b, c, h, w] by the running statistics of `p`. */
export function norm(p: Params, x: Sym): Sym {
  return p.module(() => {
    const get = (name: string): Sym => p.get(name, [fixedSize(x, 1)]);
    const running = { mean: get('running_mean'), variance: get('running_var') };
    return batchNormFixed(x, running, get('weight'), get('bias'), 1e-5);
  });
}
