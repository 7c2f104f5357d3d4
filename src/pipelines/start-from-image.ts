/**
 * Image to image: what a model makes of an image depends on the model, so this is a table by its kind. The usual way begins from the noised
 * latent of the image (SDEdit, Meng et al. 2022, arXiv 2108.01073; CompVis's scripts/img2img.py).
 */

import type { CheckpointKind } from '../checkpoints/assembled-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { cutOf } from '../generation/strength-steps.ts';
import { type Image, toRgb } from '../image/image.ts';
import { fitInitImage, initImageTensor } from '../image/init-image.ts';
import { bytesOf } from '../tensor/tensor.ts';
import { digest, digestBytes } from './digest.ts';
import { enlargingOf, smallerPicture } from './enlarging.ts';
import { givenPixels } from './given-pixels.ts';
import type { ImageUse, ImageWay } from './image-way.ts';
import { depthWay, upscaleWay, variationWay } from './image-ways.ts';
import { repeated, sampleLatent } from './initial-latent.ts';
import { type PictureCondition, pictureConditions } from './picture-conditions.ts';
import { isPixelStage } from './pixel-stage.ts';
import type { Start, StartOf } from './start.ts';

/** From the noised latent of the image, or from a given latent. */
const noised: ImageWay = ({ model, request, inputs, size }) => {
  const { image, tensors, signal } = inputs;
  const { latent } = tensors;
  const options = { ...size, multiple: model.unit, ...(isPixelStage(model) ? { filter: 'bicubic' as const } : {}) };
  const picture = image ? initImageTensor(image, options) : givenPixels(inputs, size);
  if (!picture && !latent) throw needsImage(model.label);
  return async (noise, batch) => {
    const initial =
      latent ?? (picture && (await sampleLatent(model, repeated(picture, batch), noise, signal, request)));
    return { initial: initial && repeated(initial, batch), cut: cutOf(request) };
  };
};

/** Enlarges a smaller picture. The run starts from noise, or from the noised image if one is given too. */
const enlarged: ImageWay = (use) => {
  const { model, request, inputs, size } = use;
  const { small } = inputs.tensors;
  const level = request.noiseLevel ?? 250;
  const enlarge = enlargingOf(model, { small: smallerPicture(inputs), size, level });
  const begin = small ? noised(use) : async () => ({});
  return async (noise, batch, drawStart) => {
    const own = await begin(noise, batch, drawStart);
    drawStart();
    return { ...own, ...enlarge?.(noise, batch) };
  };
};

/** InstructPix2Pix: the image's latent is further input channels, and the run starts from noise. */
const edited: ImageWay = ({ model, request, inputs, size }) => {
  const { image, signal } = inputs;
  const picture = image ? initImageTensor(image, { ...size, multiple: model.unit }) : givenPixels(inputs, size);
  if (!picture) throw needsImage(model.label);
  return async (_, batch) => {
    const { mean } = await model.encodeImage(picture, signal, request);
    return { concat: repeated(mean, batch), imageGuidance: request.imageGuidanceScale };
  };
};

/** The image itself is the condition, at the latent's size. */
const pictured =
  (condition: PictureCondition): ImageWay =>
  ({ model, inputs, size }) => {
    const {
      image,
      signal,
      tensors: { pixels },
    } = inputs;
    if (pixels && condition.sizeOfPixels) return async (_, batch) => ({ concat: repeated(pixels, batch) });
    if (!image) throw needsImage(model.label);
    return async (_, batch) => ({ concat: repeated(await condition.encode(model, image, size, signal), batch) });
  };

/** Kinds of models with a way of their own. */
const ways: { readonly [K in CheckpointKind]?: ImageWay } = {
  ip2p: edited,
  depth: depthWay(noised),
  upscale: upscaleWay,
  enlarge: enlarged,
  variation: variationWay,
};

function needsImage(label: string): StableDiffusionError {
  return new StableDiffusionError('invalid-argument', `${label} works on an image, and none was given. Give an image.`);
}

function checkLatent({ model, inputs: { tensors }, size }: ImageUse): void {
  const { latent } = tensors;
  if (!latent) return;
  const [, channels, rows, columns] = latent.shape;
  const wanted = [model.latentChannels, size.height / model.downsampling, size.width / model.downsampling];
  if ([channels, rows, columns].join() !== wanted.join())
    throw new StableDiffusionError(
      'shape-mismatch',
      `The initial latent has shape [${latent.shape.join(', ')}]; it must be [images, ${wanted.join(', ')}].`,
    );
}

const lookedAt = {
  depth: 'the depth of an image',
  imageEmbedding: 'the embedding of an image',
  small: 'a smaller picture',
} as const;

/** A tensor that only some kinds of models look at. */
function checkUsed({ model, inputs: { tensors } }: ImageUse): void {
  const { kind } = model.checkpoint;
  for (const [name, wanted] of [
    ['depth', 'depth'],
    ['imageEmbedding', 'variation'],
    ['small', 'enlarge'],
  ] as const)
    if (tensors[name] && kind !== wanted)
      throw new StableDiffusionError(
        'invalid-argument',
        `${model.label} is not a model that looks at ${lookedAt[name]}. Leave ${name} out.`,
      );
}

/** The initial image at the result's size, where its colours are wanted. */
function colorsOf({ model, request, inputs: { image }, size }: ImageUse): Image<3> | undefined {
  if (!request.colorCorrection) return undefined;
  if (!image)
    throw new StableDiffusionError(
      'invalid-argument',
      'colorCorrection takes over the colours of an image. Give the image, not a latent or a tensor.',
    );
  return toRgb(fitInitImage(image, { ...size, multiple: model.unit }));
}

export const startFromImage: StartOf<'img2img'> = async (model, request, inputs, size): Promise<Start> => {
  const { image, tensors } = inputs;
  const use: ImageUse = { model, request, inputs, size };
  checkLatent(use);
  checkUsed(use);
  const condition = pictureConditions[model.checkpoint.kind];
  const way = condition ? pictured(condition) : (ways[model.checkpoint.kind] ?? noised);
  const digests = Object.entries(tensors).map(
    async ([name, tensor]) => [name, await digestBytes(bytesOf(tensor))] as const,
  );
  return {
    digests: { ...(image ? { image: await digest(image) } : {}), ...Object.fromEntries(await Promise.all(digests)) },
    prepare: way(use),
    colors: colorsOf(use),
  };
};
