/** Image to image (CompVis's scripts/img2img.py): SDEdit, Meng et al. 2022 (arXiv 2108.01073). */

import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { initImageTensor } from '../image/init-image.ts';
import { addScaled, concatenate, scale } from '../tensor/arithmetic.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import type { Pipeline } from './events.ts';
import { generate, type GenerateOptions, type Prepared } from './generate.ts';
import { digest } from './digest.ts';
import type { Model } from '../model/model.ts';

export interface ImageToImageOptions extends GenerateOptions {
  readonly image: Image;
  /** Share of the noise schedule that is run: 0 leaves the image as it is, 1 starts from noise alone. Default 0.75. */
  readonly strength?: number;
  /** Size to resize to; by default that of the image. Sides are cut to multiples of the model's unit, as there. */
  readonly width?: number;
  readonly height?: number;
  /** InstructPix2Pix models: how closely to follow the image. Default 1.5. */
  readonly imageGuidanceScale?: number;
}

/** n copies of a batch of one. */
export function repeated(value: Tensor<'float32'>, count: number): Tensor<'float32'> {
  return concatenate([value, ...Array.from({ length: count - 1 }, () => value)], 0);
}

/** A scaled latent of images [b, 3, H, W]: a draw from the posterior, for every image another. */
export async function sampleLatent(
  model: Model,
  images: Tensor<'float32'>,
  noise: SeededNoise,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const { mean, std } = await model.encodeImage(images, signal);
  const sample = std
    ? addScaled(mean, 1, tensor('float32', std.shape, multiply(std.data, noise.normal(mean.shape).data)))
    : mean;
  return scale(sample, model.checkpoint.config.scale_factor);
}

function multiply(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value * (b[i] as number));
}

/**
 * Makes pictures that begin from one.
 * @throws `invalid-argument` (a strength outside 0 … 1, …), `too-large`, `aborted`, `not-finite`, `engine-failed`
 */
export async function* imageToImage(model: Model, options: ImageToImageOptions): Pipeline {
  const strength = options.strength ?? 0.75;
  if (!(strength >= 0 && strength <= 1))
    throw new StableDiffusionError('invalid-argument', `The strength is ${strength}; it must be between 0 and 1.`);
  const unit = model.downsampling * model.latentUnit;
  const { width = options.image.width, height = options.image.height } = options;
  const picture = initImageTensor(options.image, {
    width: width - (width % unit),
    height: height - (height % unit),
    multiple: unit,
  });
  const [, , rows = 0, columns = 0] = picture.shape;
  const steps = options.steps ?? 50;
  const prepare = async (noise: SeededNoise, batch: number): Promise<Prepared> => {
    if (model.checkpoint.kind === 'ip2p') {
      const { mean } = await model.encodeImage(picture, options.signal);
      return { concat: repeated(mean, batch), imageGuidance: options.imageGuidanceScale ?? 1.5 };
    }
    const initial = await sampleLatent(model, repeated(picture, batch), noise, options.signal);
    return { initial, startStep: steps - Math.trunc(strength * steps) };
  };
  const { imageGuidanceScale } = options;
  const record = {
    strength,
    initialImage: await digest(options.image),
    imageGuidanceScale,
  };
  yield* generate(model, options, { pipeline: 'img2img', width: columns, height: rows, prepare, record });
}
