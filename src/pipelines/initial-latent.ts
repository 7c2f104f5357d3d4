/** Latents of initial images. */

import type { StageOptions } from '../model/autoencoder.ts';
import type { Model } from '../model/model.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { addScaled, concatenate } from '../tensor/arithmetic.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';

/** n copies of a batch of one; a batch of n as it is. */
export function repeated(value: Tensor<'float32'>, count: number): Tensor<'float32'> {
  if (value.shape[0] === count) return value;
  return concatenate([value, ...Array.from({ length: count - 1 }, () => value)], 0);
}

/** A scaled latent of images [b, 3, H, W]: one draw from the posterior for each image. */
export async function sampleLatent(
  model: Model,
  images: Tensor<'float32'>,
  noise: SeededNoise,
  signal?: AbortSignal,
  options?: StageOptions,
): Promise<Tensor<'float32'>> {
  const { mean, std } = await model.encodeImage(images, signal, options);
  const sample = std
    ? addScaled(mean, 1, tensor('float32', std.shape, multiply(std.data, noise.normal(mean.shape).data)))
    : mean;
  return model.scaleLatent(sample);
}

function multiply(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value * (b[i] as number));
}
