/** Objectives over latents: from what a network said to the clean latent and the noise, and back. */

import { linearCombination } from '../tensor/arithmetic.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { objectiveOf, type Parameterization } from './objective.ts';

export type { Parameterization } from './objective.ts';

type Latent = Tensor<'float32'>;

/** The two together: the clean latent and the noise that an output means. */
export interface Prediction {
  readonly x0: Latent;
  readonly eps: Latent;
}

/** The sum of two latents by their factors; one of factor 1 beside one of factor 0 as it is. */
function mixed([a, b]: readonly [number, number], first: Latent, second: Latent): Latent {
  if (a === 0 && b === 1) return second;
  if (a === 1 && b === 0) return first;
  return a === 0 ? linearCombination([b, second]) : linearCombination([a, first], [b, second]);
}

/** The noise in x = alpha x_0 + sigma eps that an output means. */
const epsAt = (kind: Parameterization, output: Latent, x: Latent, alpha: number, sigma: number): Latent =>
  mixed(objectiveOf(kind).eps(alpha, sigma), x, output);

/** The clean latent in x = alpha x_0 + sigma eps that an output means. */
const x0At = (kind: Parameterization, output: Latent, x: Latent, alpha: number, sigma: number): Latent =>
  mixed(objectiveOf(kind).x0(alpha, sigma), x, output);

/** eps and x_0 at levels alpha and sigma with alpha² + sigma² = 1. */
export function predictionAt(
  kind: Parameterization,
  output: Latent,
  x: Latent,
  alpha: number,
  sigma: number,
): Prediction {
  return { x0: x0At(kind, output, x, alpha, sigma), eps: epsAt(kind, output, x, alpha, sigma) };
}

/** The noise in x that the output means; `alphaBar` is alphas_cumprod, in [0, 1). */
export function toEps(kind: Parameterization, output: Latent, x: Latent, alphaBar: number): Latent {
  return epsAt(kind, output, x, Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
}

/** The clean latent that the output means; `alphaBar` in (0, 1] for eps (a zero-SNR step has no x_0 in eps), in [0, 1] otherwise. */
export function toX0(kind: Parameterization, output: Latent, x: Latent, alphaBar: number): Latent {
  return x0At(kind, output, x, Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
}

/** eps and x_0 at a value of alphas_cumprod. */
export function predictionOf(kind: Parameterization, output: Latent, x: Latent, alphaBar: number): Prediction {
  return predictionAt(kind, output, x, Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
}

/** The training target of a network with this parameterization, for x_0 and eps. */
export function target(kind: Parameterization, x0: Latent, eps: Latent, alphaBar: number): Latent {
  return mixed(objectiveOf(kind).target(Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)), x0, eps);
}
