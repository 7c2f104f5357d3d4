/**
 * Models whose condition is a picture of its own size, behind the channels of the latent: super-resolution (the small picture, at the latent's size), and
 * semantic maps (the class of each pixel, brought to the latent's size by the model's own encoder). One row for each kind of model.
 */

import type { CheckpointKind } from '../checkpoints/assembled-config.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { initImageTensor } from '../image/init-image.ts';
import { mapTensor } from '../image/map-tensor.ts';
import type { Model } from '../model/model.ts';
import { runForOne } from '../model/network-set.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Pixels. */
interface PictureSize {
  readonly width: number;
  readonly height: number;
}

export interface PictureCondition {
  /** Size of what the model makes of this picture. */
  readonly size: (model: Model, image: Image) => PictureSize;
  /** The condition of a picture given as a tensor [1, 3, h, w], not rounded to bytes; undefined where it must be an image. */
  readonly sizeOfPixels?: (model: Model, pixels: Tensor<'float32'>) => PictureSize;
  /** The condition's channels [1, c, h, w] at the latent's size. */
  readonly encode: (model: Model, image: Image, size: PictureSize, signal?: AbortSignal) => Promise<Tensor<'float32'>>;
}

/** diffusers' pipeline brings pictures to multiples of 32 pixels; CompVis's notebook takes them as they are. */
const smallUnit = (model: Model): number =>
  Math.max(model.latentUnit, model.checkpoint.layout === 'diffusers' ? 32 : 1);

/** The picture's sides, cut to multiples. Throws `invalid-argument` where nothing is left. */
function cutSize({ width, height }: Image, unit: number): PictureSize {
  const cut = { width: width - (width % unit), height: height - (height % unit) };
  if (cut.width > 0 && cut.height > 0) return cut;
  throw new StableDiffusionError(
    'invalid-argument',
    `An image of ${width}x${height} pixels is too small: each side must be at least ${unit}. Give a larger image.`,
  );
}

const superResolution: PictureCondition = {
  size(model, image) {
    const { width, height } = cutSize(image, smallUnit(model));
    return { width: width * model.downsampling, height: height * model.downsampling };
  },
  // A tensor is taken as it is, as by diffusers' pipeline.
  sizeOfPixels: ({ downsampling }, { shape: [, , height = 0, width = 0] }) => ({
    width: width * downsampling,
    height: height * downsampling,
  }),
  async encode(model, image, { width, height }) {
    return initImageTensor(image, {
      width: width / model.downsampling,
      height: height / model.downsampling,
      multiple: 1,
    });
  },
};

const semanticMap: PictureCondition = {
  size(model, image) {
    const { width, height } = cutSize(image, model.unit);
    if (width === image.width && height === image.height) return { width, height };
    throw new StableDiffusionError(
      'invalid-argument',
      `The map has ${image.width}x${image.height} pixels; its sides must be multiples of ${model.unit}.`,
    );
  },
  async encode(model, image, { width, height }, signal) {
    const config = model.networkConfig('cond_stage');
    if (config?.kind !== 'spatial_rescaler')
      throw new StableDiffusionError('invalid-argument', `${model.label} takes no map of classes.`);
    if (image.width !== width || image.height !== height)
      throw new StableDiffusionError(
        'invalid-argument',
        `The map has ${image.width}x${image.height} pixels and the picture ${width}x${height}; they must be the same. Leave width and height out.`,
      );
    const x = mapTensor(image, config.in_channels);
    return runForOne(model.networks, { network: 'cond_stage', output: 'out' }, { x }, signal);
  },
};

/** By the kind of model. */
export const pictureConditions: { readonly [K in CheckpointKind]?: PictureCondition } = {
  'super-resolution': superResolution,
  'semantic-map': semanticMap,
};
