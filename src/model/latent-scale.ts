/** The scale of latents between the autoencoder and the network: one factor, and in some models a mean and a deviation for each channel. */

import type { DiffusionParams } from '../config/latent-diffusion-config.ts';
import { scale } from '../tensor/arithmetic.ts';
import type { Tensor } from '../tensor/tensor.ts';

type Scale = Pick<DiffusionParams, 'scale_factor' | 'latent_mean' | 'latent_std'>;

/** `change` of each value with the mean and the deviation of its channel. */
function byChannel(
  latent: Tensor<'float32'>,
  { latent_mean: means, latent_std: deviations }: Scale,
  change: (value: number, mean: number, deviation: number) => number,
): Tensor<'float32'> {
  if (!means && !deviations) return latent;
  const [, channels = 1, height = 1, width = 1] = latent.shape;
  const plane = height * width;
  const data = latent.data.map((value, i) => {
    const channel = Math.floor(i / plane) % channels;
    return change(value, means?.[channel] ?? 0, deviations?.[channel] ?? 1);
  });
  return { ...latent, data };
}

/** The autoencoder's latents as the network has them. */
export function scaledLatent(latent: Tensor<'float32'>, config: Scale): Tensor<'float32'> {
  return scale(
    byChannel(latent, config, (value, mean, deviation) => (value - mean) / deviation),
    config.scale_factor,
  );
}

/** The network's latents as the autoencoder has them. */
export function unscaledLatent(latent: Tensor<'float32'>, config: Scale): Tensor<'float32'> {
  const unscaled = scale(latent, Math.fround(1 / config.scale_factor));
  return byChannel(unscaled, config, (value, mean, deviation) => value * deviation + mean);
}
