/** Convolution over images (`torch.nn.Conv2d`). */

import { conv2d } from '../graph/functions.ts';
import type { Pads } from '../graph/operations.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';
import type { UNetHooks } from './hooks.ts';

export interface ConvOptions {
  /** Side of the kernel. */
  readonly kernel: number;
  readonly stride?: number;
  /** By default half the kernel: 1 for 3x3, 0 for 1x1. */
  readonly padding?: number | Pads;
  readonly bias?: boolean;
  /** Pads in place of zeros: see `UNetHooks`. */
  readonly pad?: UNetHooks['padding'];
}

/** x [b, in, h, w] → [b, out, h', w']; parameters `weight` [out, in, kernel, kernel] and, unless `bias` is false, `bias` [out]. */
export function convLayer(p: Params, x: Sym, out: number, options: ConvOptions): Sym {
  const { kernel, stride = 1, padding = kernel >> 1, pad } = options;
  const pads: Pads = typeof padding === 'number' ? [padding, padding, padding, padding] : padding;
  return p.module(() => {
    const weight = p.get('weight', [out, fixedSize(x, 1), kernel, kernel]);
    const bias = options.bias === false ? undefined : p.get('bias', [out]);
    return pad && pads.some((count) => count > 0)
      ? conv2d(pad(x, pads), weight, bias, { stride, padding: 0 })
      : conv2d(x, weight, bias, { stride, padding });
  });
}
