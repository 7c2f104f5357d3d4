/**
 * BSRGAN's degradation (Zhang et al. 2021, arXiv:2103.14006; `degradation_bsrgan_variant`): blur, two shrinkings, noise and JPEG in random
 * order, then JPEG. `bsrgan-light` is what LDM's super-resolution is trained on. With `pythonDraws`
 * they are the original's own numbers, but for the signs of noise that is correlated between colours.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import { type Image, toRgb } from '../../image/image.ts';
import { convolveKernel } from './blur.ts';
import { addBlur, addJpegNoise, type BsrganVariant, bsrganStrengths, resampled } from './bsrgan-steps.ts';
import { type DegradationDraws, uniformOf } from './draws.ts';
import { gaussianKernel, shiftedKernel } from './kernel.ts';
import { addRandomNoise } from './noise.ts';
import { clip, modcrop, subsample, toByteImage, toFloatImage } from './picture.ts';
import { resizeMatlab } from './resize-matlab.ts';

export interface BsrganOptions {
  /** Default `bsrgan-light`. */
  readonly variant?: BsrganVariant;
  /** Downscaling factor, a whole number of at least 1. Default 4. */
  readonly factor?: number;
  readonly draws: DegradationDraws;
  /** Codec for the JPEG steps. */
  readonly codec: ImageCodec;
}

/** The small, worn picture of a good one, whose sides are first cut to multiples of the factor. Alpha is dropped. */
export async function degradeBsrgan(image: Image, options: BsrganOptions): Promise<Image<3>> {
  const { factor = 4, draws, codec } = options;
  const strengths = bsrganStrengths[options.variant ?? 'bsrgan-light'];
  if (!Number.isInteger(factor) || factor < 1 || Math.min(image.width, image.height) < 2 * factor) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A picture of ${image.width}x${image.height} cannot be degraded by ${factor}: the factor is a whole number, and both sides are at least twice as long.`,
    );
  }
  let picture = modcrop(toFloatImage(toRgb(image)), factor);
  const wanted = { width: picture.width / factor, height: picture.height / factor };
  let scale = factor;
  if (factor === 4 && draws.share() < 0.25) {
    picture =
      draws.otherShare() < 0.5
        ? resampled(picture, picture.width / 2, picture.height / 2, draws)
        : clip(resizeMatlab(picture, 0.5));
    scale = 2;
  }
  const order = draws.order(7);
  const [first, second] = [order.indexOf(2), order.indexOf(3)];
  if (first > second) [order[first], order[second]] = [3, 2]; // the resize to the target size stays last
  for (const step of order) {
    if (step === 0 || (step === 1 && strengths.blurs === 2)) picture = addBlur(picture, scale, strengths, draws);
    else if (step === 2) {
      if (draws.share() < strengths.resampling) {
        const by = uniformOf(draws, 1, 2 * scale);
        picture = resampled(picture, picture.width / by, picture.height / by, draws);
      } else {
        const kernel = shiftedKernel(gaussianKernel(25, uniformOf(draws, 0.1, 0.6 * scale)), scale);
        picture = clip(subsample(convolveKernel(picture, kernel, 'mirror'), scale));
      }
    } else if (step === 3) picture = resampled(picture, wanted.width, wanted.height, draws);
    else if (step === 4) picture = addRandomNoise(picture, strengths.noise, draws);
    else if (step === 5 && draws.share() < 0.9) picture = await addJpegNoise(picture, strengths, draws, codec);
  }
  return toByteImage(await addJpegNoise(picture, strengths, draws, codec));
}
