/**
 * Perturbed attention (Ahn et al. 2024, "Self-Rectifying Diffusion Sampling with Perturbed-Attention Guidance", arXiv 2403.17377): in chosen
 * blocks self-attention gives every token its own value. `diffusion/perturbed-guidance.ts` guides away from what the network then predicts.
 */

import { dim } from '../graph/dim.ts';
import { add, mul, reshape, sub } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import type { AttentionSite } from '../nn/hooks.ts';
import type { Extension } from './extension.ts';

/** `mid`, or a level of the first or second half in diffusers' count: `down.0` and `up.3` are the largest image of four levels. */
export type PerturbedLayer = 'mid' | `down.${number}` | `up.${number}`;

/** Whether a text names a layer. */
export function isPerturbedLayer(text: string): text is PerturbedLayer {
  return (
    text === 'mid' ||
    ['down.', 'up.'].some((half) => text.startsWith(half) && /^\d{1,2}$/.test(text.slice(half.length)))
  );
}

function layerOf({ part, level }: AttentionSite, levels: number): PerturbedLayer {
  return part === 'middle' ? 'mid' : part === 'down' ? `down.${level}` : `up.${levels - 1 - level}`;
}

/** Input `perturbed`: float32 [batch], 1 for the images to perturb, else 0. */
export function perturbedAttention(layers: readonly PerturbedLayer[]): Extension {
  return {
    name: `perturbed-attention ${layers.join(' ')}`,
    inputs: () => ({ perturbed: { dtype: 'float32', shape: [dim('batch')] } }),
    hooks: ({ channel_mult }, given) => ({
      attend: (attend, site) => {
        if (site.kind !== 'self' || !layers.includes(layerOf(site, channel_mult.length))) return attend;
        return (q, k, v) => {
          const gathered = attend(q, k, v);
          const share = given['perturbed'] as Sym;
          return add(gathered, mul(reshape(share, [share.shape[0] ?? 1, 1, 1]), sub(v, gathered)));
        };
      },
    }),
  };
}
