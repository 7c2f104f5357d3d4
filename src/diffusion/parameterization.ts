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

/** The noise in x that the output means; `alphaBar` in [0, 1). */
export function toEps(parameterization: Parameterization, output: Latent, x: Latent, alphaBar: number): Latent {
  const signal = Math.sqrt(alphaBar);
  const noise = Math.sqrt(1 - alphaBar);
  switch (parameterization) {
    case 'eps':
      return output;
    case 'v':
      return linearCombination([signal, output], [noise, x]);
    case 'x0':
      return linearCombination([1 / noise, x], [-signal / noise, output]);
  }
}

/** The clean latent that the output means; `alphaBar` in (0, 1] for eps (a zero-SNR step has no x_0 in eps), in [0, 1] otherwise. */
export function toX0(parameterization: Parameterization, output: Latent, x: Latent, alphaBar: number): Latent {
  const signal = Math.sqrt(alphaBar);
  const noise = Math.sqrt(1 - alphaBar);
  switch (parameterization) {
    case 'eps':
      return linearCombination([1 / signal, x], [-noise / signal, output]);
    case 'v':
      return linearCombination([signal, x], [-noise, output]);
    case 'x0':
      return output;
  }
}

/** The two together: the clean latent and the noise that the output means, x = sqrt(alphaBar) x0 + sqrt(1 - alphaBar) eps. */
export interface Prediction {
  readonly x0: Latent;
  readonly eps: Latent;
}

export function predictionOf(parameterization: Parameterization, output: Latent, x: Latent, alphaBar: number): Prediction {
  return { x0: toX0(parameterization, output, x, alphaBar), eps: toEps(parameterization, output, x, alphaBar) };
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
