/**
 * Image to image: what a model makes of an image depends on the model, so this is a table by its kind. The usual way begins from the noised
 * latent of the image (SDEdit, Meng et al. 2022, arXiv 2108.01073; CompVis's scripts/img2img.py).
 */

import type { CheckpointKind } from '../checkpoints/checkpoint.ts';
import { StableDiffusionError } from '../errors.ts';
import { cutOf } from '../generation/strength-steps.ts';
import { initImageTensor } from '../image/init-image.ts';
import { bytesOf } from '../tensor/tensor.ts';
import { digest, digestBytes } from './digest.ts';
import type { ImageUse, ImageWay } from './image-way.ts';
import { repeated, sampleLatent } from './initial-latent.ts';
import type { Start, StartOf } from './start.ts';

/** From the noised latent of the image, or from a given latent. */
const noised: ImageWay = ({ model, request, inputs, size }) => {
  const { image, latent, signal } = inputs;
  return async (noise, batch) => {
    const initial =
      latent ??
      (image &&
        (await sampleLatent(
          model,
          repeated(initImageTensor(image, { ...size, multiple: model.unit }), batch),
          noise,
          signal,
        )));
    return { initial: initial && repeated(initial, batch), cut: cutOf(request) };
  };
};

/** InstructPix2Pix: the image's latent is further input channels, and the run starts from noise. */
const edited: ImageWay = ({ model, request, inputs: { image, signal }, size }) => {
  if (!image) throw needsImage(model.label);
  const picture = initImageTensor(image, { ...size, multiple: model.unit });
  return async (_, batch) => {
    const { mean } = await model.encodeImage(picture, signal);
    return { concat: repeated(mean, batch), imageGuidance: request.imageGuidanceScale };
  };
};

/** Kinds of models with a way of their own. */
const ways: { readonly [K in CheckpointKind]?: ImageWay } = { ip2p: edited };

function needsImage(label: string): StableDiffusionError {
  return new StableDiffusionError(
    'invalid-argument',
    `${label} works on an image, and a latent was given. Give an image.`,
  );
}

function checkLatent({ model, inputs: { latent }, size }: ImageUse): void {
  if (!latent) return;
  const [, channels, rows, columns] = latent.shape;
  const wanted = [model.latentChannels, size.height / model.downsampling, size.width / model.downsampling];
  if ([channels, rows, columns].join() !== wanted.join())
    throw new StableDiffusionError(
      'shape-mismatch',
      `The initial latent has shape [${latent.shape.join(', ')}]; it must be [images, ${wanted.join(', ')}].`,
    );
}

export const startFromImage: StartOf<'img2img'> = async (model, request, inputs, size): Promise<Start> => {
  const { image, latent } = inputs;
  if (!image && !latent) throw new StableDiffusionError('invalid-argument', 'Image to image needs an image.');
  const use: ImageUse = { model, request, inputs, size };
  checkLatent(use);
  const way = ways[model.checkpoint.kind] ?? noised;
  return {
    digests: {
      ...(image ? { image: await digest(image) } : {}),
      ...(latent ? { latent: await digestBytes(bytesOf(latent)) } : {}),
    },
    prepare: way(use),
  };
};
