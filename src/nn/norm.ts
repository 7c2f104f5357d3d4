/** Normalisation layers with learned scale and shift. */

import { groupNorm, layerNorm } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';

/** `torch.nn.GroupNorm` over [b, c, ...]. LDM's epsilons: 1e-5 in the UNet (GroupNorm32), 1e-6 before spatial transformers and in the autoencoder. */
export function groupNormLayer(p: Params, x: Sym, options: { readonly groups: number; readonly epsilon: number }): Sym {
  const channels = fixedSize(x, 1);
  return p.module(() => groupNorm(x, p.get('weight', [channels]), p.get('bias', [channels]), options));
}

/** `torch.nn.LayerNorm` over the last axis. */
export function layerNormLayer(p: Params, x: Sym, epsilon = 1e-5): Sym {
  const width = fixedSize(x, -1);
  return p.module(() => layerNorm(x, p.get('weight', [width]), p.get('bias', [width]), { epsilon }));
}
