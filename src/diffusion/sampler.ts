/** Sampler: an async generator that turns noise into a latent and yields after every step. One file each in `samplers/`. */

import type { Latent } from './denoiser.ts';

export interface SamplerStep {
  /** 1 after the first step … `steps` after the last. */
  readonly step: number;
  readonly steps: number;
  /** Noise level before this step. */
  readonly sigma: number;
  /** The sampler's state after the step. */
  readonly latent: Latent;
  /** The model's current guess of the clean latent (for previews). */
  readonly denoised: Latent;
}

export type Sampling = AsyncGenerator<SamplerStep, Latent, void>;
