/**
 * What a network predicts, and conversion between the three.
 *
 * With a = alphas_cumprod at the timestep and x = sqrt(a) x_0 + sqrt(1 - a) eps:
 * v = sqrt(a) eps - sqrt(1 - a) x_0 (Salimans and Ho 2022, arXiv 2202.00512, appendix D).
 */

import { linearCombination } from '../tensor/arithmetic.ts';
import type { Tensor } from '../tensor/tensor.ts';

type Latent = Tensor<'float32'>;

/** `eps`: the noise. `v`: the velocity. `x0`: the clean latent (the CompVis configs' `parameterization`). */
export type Parameterization = 'eps' | 'v' | 'x0';

/** The two together: the clean latent and the noise that an output means. */
export interface Prediction {
  readonly x0: Latent;
  readonly eps: Latent;
}

/** The noise in x = alpha x_0 + sigma eps that an output means. */
function epsAt(parameterization: Parameterization, output: Latent, x: Latent, alpha: number, sigma: number): Latent {
  switch (parameterization) {
    case 'eps':
      return output;
    case 'v':
      return linearCombination([alpha, output], [sigma, x]);
    case 'x0':
      return linearCombination([1 / sigma, x], [-alpha / sigma, output]);
  }
}

/** The clean latent in x = alpha x_0 + sigma eps that an output means. */
function x0At(parameterization: Parameterization, output: Latent, x: Latent, alpha: number, sigma: number): Latent {
  switch (parameterization) {
    case 'eps':
      return linearCombination([1 / alpha, x], [-sigma / alpha, output]);
    case 'v':
      return linearCombination([alpha, x], [-sigma, output]);
    case 'x0':
      return output;
  }
}

/** Both, at levels alpha and sigma with alpha² + sigma² = 1. */
export function predictionAt(
  parameterization: Parameterization,
  output: Latent,
  x: Latent,
  alpha: number,
  sigma: number,
): Prediction {
  return { x0: x0At(parameterization, output, x, alpha, sigma), eps: epsAt(parameterization, output, x, alpha, sigma) };
}

/** The noise in x that the output means; `alphaBar` is alphas_cumprod, in [0, 1). */
export function toEps(parameterization: Parameterization, output: Latent, x: Latent, alphaBar: number): Latent {
  return epsAt(parameterization, output, x, Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
}

/** The clean latent that the output means; `alphaBar` in (0, 1] for eps (a zero-SNR step has no x_0 in eps), in [0, 1] otherwise. */
export function toX0(parameterization: Parameterization, output: Latent, x: Latent, alphaBar: number): Latent {
  return x0At(parameterization, output, x, Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
}

/** Both, at a value of alphas_cumprod. */
export function predictionOf(
  parameterization: Parameterization,
  output: Latent,
  x: Latent,
  alphaBar: number,
): Prediction {
  return predictionAt(parameterization, output, x, Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
}

/** What a network of this parameterisation should have said for x_0 and eps: its training target. */
export function target(parameterization: Parameterization, x0: Latent, eps: Latent, alphaBar: number): Latent {
  switch (parameterization) {
    case 'eps':
      return eps;
    case 'v':
      return linearCombination([Math.sqrt(alphaBar), eps], [-Math.sqrt(1 - alphaBar), x0]);
    case 'x0':
      return x0;
  }
}
