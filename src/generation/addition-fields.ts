/** Fields of a request for what acts inside the network or on its guidance: FreeU, seamless tiling, token merging, DeepCache, SAG, PAG. Off by default. */

import * as z from 'zod';
import { isPerturbedLayer, type PerturbedLayer } from '../extensions/perturbed-attention.ts';
import { seamlessAxes } from '../extensions/seamless.ts';
import { bounds } from './bounds.ts';
import { list, oneOf, real, whole } from './fields.ts';

const factor = () => real(bounds.freeU);
const layerError =
  'mid, down.N or up.N, where down.0 is the largest image of the first half and up.0 the smallest of the second';

export const additionFields = {
  /** FreeU (arXiv 2309.11497): factors on the network's features (`b1`, `b2`) and on the low frequencies of its skip connections (`s1`, `s2`). */
  freeU: z
    .strictObject(
      {
        b1: factor(),
        b2: factor(),
        s1: factor(),
        s2: factor(),
        version: z.literal([1, 2], { error: '1 or 2' }).optional(),
      },
      { error: 'an object of b1, b2, s1 and s2' },
    )
    .readonly()
    .optional(),
  /** Self-attention guidance (arXiv 2210.00939): its scale, usually 0.75. Costs one more pass a step. */
  selfAttentionGuidance: real(bounds.guidance).optional(),
  /** Perturbed-attention guidance (arXiv 2403.17377): its scale, usually 3; the layers it perturbs (default `mid`); how much the scale falls a timestep (default 0). Costs one more pass a step. */
  perturbedAttention: z
    .strictObject(
      {
        scale: real(bounds.guidance),
        layers: list(z.string().refine(isPerturbedLayer, { error: layerError }), 'layers', 1, 16).optional(),
        adaptive: real(bounds.share).optional(),
      },
      { error: 'an object of scale, layers and adaptive' },
    )
    .readonly()
    .optional(),
  /** Token merging (arXiv 2303.17604): the share of tokens that merge in the largest self-attentions. */
  tokenMerging: real(bounds.share).optional(),
  /** DeepCache (arXiv 2312.00858): every `interval`-th step is whole; the others run the blocks above `branch` (default 0). */
  deepCache: z
    .strictObject(
      { interval: whole(bounds.cacheInterval), branch: whole(bounds.cacheBranch).optional() },
      { error: 'an object of interval and branch' },
    )
    .readonly()
    .optional(),
  /** Pictures that can be laid side by side without a seam: along `both` axes, `x` or `y`. */
  seamless: oneOf(seamlessAxes).optional(),
};

/** Layers as the schema has checked them. */
export const perturbedLayers = (layers: readonly string[] = ['mid']): readonly PerturbedLayer[] =>
  layers.filter(isPerturbedLayer);
