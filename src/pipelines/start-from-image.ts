/**
 * Image to image: a batch begins from the noised latent of an image (SDEdit, Meng et al. 2022, arXiv 2108.01073; CompVis's
 * scripts/img2img.py). InstructPix2Pix models have the image's latent as further input channels instead.
 */

import { StableDiffusionError } from '../errors.ts';
import { cutOf } from '../generation/strength-steps.ts';
import { initImageTensor } from '../image/init-image.ts';
import { digest } from './digest.ts';
import { repeated, sampleLatent } from './initial-latent.ts';
import type { StartOf } from './start.ts';

export const startFromImage: StartOf<'img2img'> = async (model, request, { image, signal }, size) => {
  if (!image) throw new StableDiffusionError('invalid-argument', 'Image to image needs an image.');
  const picture = initImageTensor(image, { ...size, multiple: model.unit });
  return {
    digests: { image: await digest(image) },
    async prepare(noise, batch) {
      if (model.checkpoint.kind === 'ip2p') {
        const { mean } = await model.encodeImage(picture, signal);
        return { concat: repeated(mean, batch), imageGuidance: request.imageGuidanceScale };
      }
      return { initial: await sampleLatent(model, repeated(picture, batch), noise, signal), cut: cutOf(request) };
    },
  };
};
