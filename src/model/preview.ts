/** Pictures of a latent while it is sampled: through TAESD where the model has one, by a linear map for Stable Diffusion v1, else decoded whole. */

import { denoiserChannels } from '../config/network-config.ts';
import type { Image } from '../image/image.ts';
import { createImage } from '../image/image.ts';
import { tensorToImages } from '../image/image-tensor.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Model } from './model.ts';

/**
 * RGB in [-1, 1] of each channel of a Stable Diffusion v1 latent, by regression of decoded pixels on latents (the figures are those
 * published by Hugging Face's forum thread "Decoding latents to RGB without upscaling").
 */
const v1Colours = [
  [0.298, 0.207, 0.208],
  [0.187, 0.286, 0.173],
  [-0.158, 0.189, 0.264],
  [-0.184, -0.271, -0.473],
] as const;

/** One pixel for each latent element. */
export function linearPreview(latent: Tensor<'float32'>): Image<3>[] {
  const [batch = 0, channels = 0, height = 0, width = 0] = latent.shape;
  const plane = height * width;
  return Array.from({ length: batch }, (_, n) => {
    const image = createImage(width, height, 3);
    for (let i = 0; i < plane; i++) {
      for (let colour = 0; colour < 3; colour++) {
        let value = 0;
        for (const [channel, weights] of v1Colours.entries())
          value += (latent.data[(n * channels + channel) * plane + i] as number) * (weights[colour] as number);
        image.data[i * 3 + colour] = Math.min(255, Math.max(0, Math.round((value + 1) * 127.5)));
      }
    }
    return image;
  });
}

/** One small image for each of the batch. */
export async function previewImages(
  model: Model,
  denoised: Tensor<'float32'>,
  signal?: AbortSignal,
): Promise<Image<3>[]> {
  if (model.hasPreviewDecoder) return tensorToImages(await model.decodePreview(denoised, signal)) as Image<3>[];
  const { scale_factor, unet_config } = model.checkpoint.config;
  if (scale_factor === 0.18215 && denoiserChannels(unet_config) === 4) return linearPreview(denoised);
  return tensorToImages(await model.decodeLatent(denoised, signal)) as Image<3>[];
}
