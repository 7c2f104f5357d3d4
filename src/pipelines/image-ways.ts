/** SD 2.x's models that look at an image beside the text: depth, upscaling, variations. One way each. */

import { depthChannel } from '../conditioning/depth.ts';
import { imageNoiseTable, imageVector, noisedImage } from '../conditioning/image-noise.ts';
import { StableDiffusionError } from '../errors.ts';
import { int64, type Tensor, zeros } from '../tensor/tensor.ts';
import { givenPixels } from './given-pixels.ts';
import type { ImageUse, ImageWay } from './image-way.ts';
import { repeated } from './initial-latent.ts';

function needs(label: string, what: string): StableDiffusionError {
  return new StableDiffusionError('invalid-argument', `${label} works on ${what}, and none was given.`);
}

/** diffusers stretches the depth by its range, the original by a little more. */
const depthAddend = 0.001;

/** The depth of the image is a further channel; the start is that of every model. */
export const depthWay =
  (start: ImageWay): ImageWay =>
  (use) => {
    const { model, request, inputs, size } = use;
    // The original starts from noise alone at full strength.
    const isWhole = request.strength === 1 && request.noise !== 'diffusers';
    const begin = isWhole ? async () => ({}) : start(use);
    return async (noise, batch, drawStart) => {
      const own = await begin(noise, batch, drawStart);
      const pixels = givenPixels(inputs, inputs.image && size);
      const depth = inputs.tensors.depth ?? (pixels && (await model.imageCondition?.depth(pixels, inputs.signal)));
      if (!depth) throw needs(model.label, 'the depth of an image');
      const channel = depthChannel(depth, {
        rows: size.height / model.downsampling,
        columns: size.width / model.downsampling,
        addend: request.noise === 'diffusers' ? 0 : depthAddend,
      });
      return { ...own, concat: repeated(channel, batch) };
    };
  };

function levelOf({ request, model }: ImageUse, fallback: number, most: number): number {
  const { noiseLevel = fallback } = request;
  if (noiseLevel > most)
    throw new StableDiffusionError(
      'invalid-argument',
      `The noise level is ${noiseLevel}; ${model.label} was trained with at most ${most}.`,
    );
  return noiseLevel;
}

/** The small picture, noised, is further channels, and its noise level the class. The run starts from noise. */
export const upscaleWay: ImageWay = (use) => {
  const { model, inputs, size } = use;
  const config = model.imageCondition?.config;
  const small = { width: size.width / model.downsampling, height: size.height / model.downsampling };
  const pixels = givenPixels(inputs, small);
  if (config?.kind !== 'low_scale' || !pixels) throw needs(model.label, 'an image');
  const level = levelOf(use, 20, config.max_noise_level);
  const table = imageNoiseTable(config);
  return async (noise, batch) => {
    const low = repeated(pixels, batch);
    const concat = noisedImage(table, low, noise.normal(low.shape), level);
    return { concat, inputs: { y: int64([batch], new Array<number>(batch).fill(level)) } };
  };
};

/** The embedding of the image, noised, is a vector; without guidance's condition it is zeros. The run starts from noise. */
export const variationWay: ImageWay = (use) => {
  const { model, inputs } = use;
  const { imageCondition } = model;
  const config = imageCondition?.config;
  const pixels = givenPixels(inputs, undefined);
  const given = inputs.tensors.imageEmbedding;
  if (config?.kind !== 'image_embedding' || !imageCondition || (!pixels && !given))
    throw needs(model.label, 'an image');
  const level = levelOf(use, 0, config.timesteps - 1);
  return async (noise, batch) => {
    const embedding = given ?? (await imageCondition.embed(pixels as Tensor<'float32'>, inputs.signal));
    const drawn = noise.normal([batch, config.width]);
    const y = imageVector(config, embedding, drawn, level, await imageCondition.statistics());
    return { inputs: { y }, unconditionalInputs: { y: zeros('float32', y.shape) } };
  };
};
