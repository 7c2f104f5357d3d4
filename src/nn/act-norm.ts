/** Activation normalisation with data-dependent initialisation (Kingma & Dhariwal 2018; `taming.modules.util.ActNorm`), as the patch discriminator may have it. */

import { productOfDims } from '../graph/dim.ts';
import {
  add,
  dimension,
  div,
  less,
  mean,
  mul,
  neg,
  reciprocal,
  scalar,
  sqrt,
  stopGradient,
  sub,
  sum,
  where,
} from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';

export interface ActNormState {
  /** [1, c, 1, 1]. */
  readonly loc: Sym;
  /** [1, c, 1, 1]. */
  readonly scale: Sym;
  /** 0 before the first batch in training, 1 after it. */
  readonly initialized: Sym;
}

/** x [b, c, h, w] → scale · (x + loc). */
export function actNorm(x: Sym, { loc, scale }: Pick<ActNormState, 'loc' | 'scale'>): Sym {
  return mul(scale, add(x, loc));
}

/** The value of one, the gradient of the other. */
function withValue(parameter: Sym, value: Sym): Sym {
  return add(stopGradient(value), sub(parameter, stopGradient(parameter)));
}

/**
 * Training mode: if `initialized` is 0, loc and scale normalise the batch to mean 0 and variance 1 in each channel
 * (scale is 1 / (std + 1e-6), the standard deviation unbiased). The gradient goes to loc and scale either way.
 */
export function actNormTraining(x: Sym, state: ActNormState): { readonly y: Sym; readonly updated: ActNormState } {
  const [b = 1, , h = 1, w = 1] = x.shape;
  const centre = mean(x, [0, 2, 3], { keepDims: true });
  const difference = sub(x, centre);
  const count = dimension(x, productOfDims([b, h, w]));
  const deviation = sqrt(div(sum(mul(difference, difference), [0, 2, 3], { keepDims: true }), sub(count, 1)));
  const isFirst = less(state.initialized, 0.5);
  const loc = stopGradient(where(isFirst, neg(centre), state.loc));
  const scale = stopGradient(where(isFirst, reciprocal(add(deviation, 1e-6)), state.scale));
  const y = actNorm(x, { loc: withValue(state.loc, loc), scale: withValue(state.scale, scale) });
  return { y, updated: { loc, scale, initialized: scalar(x, 1) } };
}
