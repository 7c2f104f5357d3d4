/** The split of an ancestral step: down to a level below the next one without noise, then up to it with fresh noise (k-diffusion's `get_ancestral_step`). */

export interface AncestralStep {
  /** Level to step down to, and the deviation of the noise to add: down² + up² = sigmaNext². */
  readonly down: number;
  readonly up: number;
}

/** From `sigma` to `sigmaNext`, both at least 0; `eta` 0 adds no noise, 1 as much as DDPM. */
export function ancestralStep(sigma: number, sigmaNext: number, eta: number): AncestralStep {
  if (eta === 0) return { down: sigmaNext, up: 0 };
  const up = Math.min(sigmaNext, eta * Math.sqrt((sigmaNext ** 2 * (sigma ** 2 - sigmaNext ** 2)) / sigma ** 2));
  return { down: Math.sqrt(sigmaNext ** 2 - up ** 2), up };
}
