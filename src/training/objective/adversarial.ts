/** Losses of a discriminator and its weight against other losses (`ldm/modules/losses/vqperceptual.py`, `contperceptual.py`; Esser et al. 2021, section 3.2). */

import {
  add,
  clamp,
  div,
  mean,
  mul,
  neg,
  rankMean,
  relu,
  softplus,
  sqrt,
  stopGradient,
  sub,
  sum,
} from '../../graph/functions.ts';
import { backward } from '../../graph/gradients.ts';
import type { Sym } from '../../graph/trace.ts';

export type DiscriminatorLossName = 'hinge' | 'vanilla';

/** `hinge_d_loss` (Lim & Ye 2017): ½ (mean relu(1 - real) + mean relu(1 + fake)). */
function hinge(real: Sym, fake: Sym): Sym {
  return mul(add(mean(relu(sub(1, real))), mean(relu(add(1, fake)))), 0.5);
}

/** `vanilla_d_loss` (Goodfellow et al. 2014): ½ (mean softplus(-real) + mean softplus(fake)). */
function vanilla(real: Sym, fake: Sym): Sym {
  return mul(add(mean(softplus(neg(real))), mean(softplus(fake))), 0.5);
}

/** Losses of the discriminator from its logits on real and on made images, as scalars. */
export const discriminatorLosses: { readonly [K in DiscriminatorLossName]: (real: Sym, fake: Sym) => Sym } = {
  hinge,
  vanilla,
};

/** `hinge_d_loss_with_exemplar_weights`: the hinge loss of each image, averaged with weights [b]. Logits [b, 1, h, w]. */
export function weightedHingeLoss(real: Sym, fake: Sym, weights: Sym): Sym {
  const average = (each: Sym): Sym => div(sum(mul(weights, mean(each, [1, 2, 3]))), sum(weights));
  return mul(add(average(relu(sub(1, real))), average(relu(add(1, fake)))), 0.5);
}

/** `adopt_weight`: 0 before step `start`, then the weight. */
export function adoptWeight(weight: number, step: number, start: number): number {
  return step < start ? 0 : weight;
}

const norm = (x: Sym): Sym => sqrt(sum(mul(x, x)));

/**
 * The weight that makes the adversarial loss pull the last layer as hard as the reconstruction does: the ratio of the norms of the two
 * gradients, at most 1e4, times `weight`. A constant to the gradient. (`calculate_adaptive_weight`) With `ranks` above 1 the gradients are
 * those of the batches of so many ranks.
 */
export function adaptiveWeight(reconstruction: Sym, adversarial: Sym, lastLayer: Sym, weight: number, ranks = 1): Sym {
  const [ofReconstruction] = backward(reconstruction, [lastLayer]);
  const [ofAdversarial] = backward(adversarial, [lastLayer]);
  if (!ofReconstruction || !ofAdversarial) throw new Error('a loss does not depend on the last layer');
  const size = (gradient: Sym): Sym => norm(ranks > 1 ? rankMean(gradient) : gradient);
  return stopGradient(mul(clamp(div(size(ofReconstruction), add(size(ofAdversarial), 1e-4)), 0, 1e4), weight));
}
