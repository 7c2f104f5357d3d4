/**
 * NoiseSource: where a pipeline's and a sampler's random numbers come from.
 *
 * The same seed gives different pictures in CompVis's scripts, A1111, ComfyUI and diffusers, because each draws in a different order from
 * a different generator. A NoiseSource follows one of these conventions. `createNoise` creates them.
 */

import type { Shape, Tensor } from '../tensor/tensor.ts';

export const noiseConventions = ['compvis', 'a1111-cpu', 'a1111-gpu', 'a1111-nv', 'comfy', 'diffusers'] as const;

export type NoiseConvention = (typeof noiseConventions)[number];

export interface NoiseSource {
  readonly convention: NoiseConvention;
  /** The next draw from the standard normal distribution, float32, of a whole batch [n, ...]. The first is the start noise; those after it are for the steps. */
  normal(shape: Shape): Tensor<'float32'>;
}

/** A NoiseSource that also makes the noise of SDE samplers, seeded as its convention seeds it. */
export interface SeededNoise extends NoiseSource {
  /** Brownian-tree noise for latents [n, ...] over the positive sigmas of a schedule, from least to greatest. */
  interval(shape: Shape, sigmaMin: number, sigmaMax: number): IntervalNoise;
}

/**
 * Brownian-tree noise for SDE samplers: increments of one path per image, so that the picture does not depend on the step count.
 * Returns W(sigma) - W(sigmaNext) scaled to unit variance, of the latent's shape.
 */
export type IntervalNoise = (sigma: number, sigmaNext: number) => Tensor<'float32'>;
