/**
 * NoiseSource: where a pipeline's and a sampler's random numbers come from.
 *
 * The same seed gives other pictures in CompVis's scripts, A1111, ComfyUI and diffusers, because each draws in another order from
 * another generator. A NoiseSource names whose convention it follows and makes the draws in that order.
 */

import type { Shape, Tensor } from '../tensor/tensor.ts';

export type NoiseConvention = 'compvis' | 'a1111-cpu' | 'a1111-gpu' | 'a1111-nv' | 'comfy' | 'diffusers';

export interface NoiseSource {
  readonly convention: NoiseConvention;
  /** The next draw from the standard normal distribution, float32, of a whole batch [n, ...]. */
  normal(shape: Shape): Tensor<'float32'>;
}

/**
 * Brownian-tree noise for SDE samplers: increments of one path per image, so that the picture does not depend on the step count.
 * Returns W(sigma) - W(sigmaNext) scaled to unit variance, of the latent's shape.
 */
export type IntervalNoise = (sigma: number, sigmaNext: number) => Tensor<'float32'>;
