/** The split of an ancestral step: down to a level below the next one without noise, then up to it with fresh noise (k-diffusion's `get_ancestral_step`). */

export interface AncestralStep {
  /** Level to step down to, and the deviation of the noise to add: down² + up² = sigmaNext². */
  readonly down: number;
  readonly up: number;
}

/**
 * From `sigma` to `sigmaNext`, both at least 0; `eta` 0 adds no noise, 1 as much as DDPM. Each operation is rounded by `round`: to float32
 * as the originals' tensors, whose differences of squares lose digits that a trajectory then shows.
 */
export function ancestralStep(
  sigma: number,
  sigmaNext: number,
  eta: number,
  round: (value: number) => number = Math.fround,
): AncestralStep {
  if (eta === 0) return { down: sigmaNext, up: 0 };
  const from = round(sigma ** 2);
  const to = round(sigmaNext ** 2);
  const up = Math.min(sigmaNext, round(eta * round(Math.sqrt(round(round(to * round(from - to)) / from)))));
  return { down: round(Math.sqrt(round(to - round(up ** 2)))), up };
}
