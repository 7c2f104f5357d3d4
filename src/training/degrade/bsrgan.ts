/**
 * BSRGAN's degradation (Zhang et al. 2021, arXiv:2103.14006; `degradation_bsrgan_variant`): blur, two shrinkings, noise and JPEG in random
 * order, then JPEG. `bsrgan-light` is what LDM's super-resolution is trained on. With `pythonDraws`
 * they are the original's own numbers, but for the signs of noise that is correlated between colours.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import { type Image, toRgb } from '../../image/image.ts';
import { convolveKernel } from './blur.ts';
import { type DegradationDraws, uniformOf } from './draws.ts';
import { anisotropicKernel, gaussianKernel, shiftedKernel } from './kernel.ts';
import { addRandomNoise } from './noise.ts';
import type { FloatImage } from '../../image/float-image.ts';
import { resizeOpencv } from '../../image/opencv/resize-floats.ts';
import type { OpencvFilter } from '../../image/opencv/resize-bytes.ts';
import { clip, modcrop, subsample, toByteImage, toFloatImage } from './picture.ts';
import { resizeMatlab } from './resize-matlab.ts';

export type BsrganVariant = 'bsrgan-light' | 'bsrgan';

export interface BsrganOptions {
  /** Default `bsrgan-light`. */
  readonly variant?: BsrganVariant;
  /** Downscaling factor, a whole number of at least 1. Default 4. */
  readonly factor?: number;
  readonly draws: DegradationDraws;
  /** Codec for the JPEG steps. */
  readonly codec: ImageCodec;
}

interface Strengths {
  readonly blurs: number;
  /** Variances and deviations are divided by this. */
  readonly blurDivisor: number;
  readonly anisotropicSize: (draw: (low: number, high: number) => number) => number;
  readonly gaussianSize: (draw: (low: number, high: number) => number) => number;
  /** Probability that the first shrinking resamples, rather than blurs and takes every n-th pixel. */
  readonly resampling: number;
  readonly noise: readonly [number, number];
  readonly quality: readonly [number, number];
}

const variants: { readonly [V in BsrganVariant]: Strengths } = {
  'bsrgan-light': {
    blurs: 1,
    blurDivisor: 4,
    anisotropicSize: (draw) => draw(2, 11) + 3,
    gaussianSize: (draw) => draw(2, 4) + 3,
    resampling: 0.8,
    noise: [1, 2],
    quality: [80, 95],
  },
  bsrgan: {
    blurs: 2,
    blurDivisor: 1,
    anisotropicSize: (draw) => 2 * draw(2, 11) + 3,
    gaussianSize: (draw) => 2 * draw(2, 11) + 3,
    resampling: 0.75,
    noise: [2, 25],
    quality: [30, 95],
  },
};

const filters: readonly OpencvFilter[] = ['linear', 'cubic', 'area'];

/** The small, worn picture of a good one, whose sides are first cut to multiples of the factor. Alpha is dropped. */
export async function degradeBsrgan(image: Image, options: BsrganOptions): Promise<Image<3>> {
  const { factor = 4, draws, codec } = options;
  const strengths = variants[options.variant ?? 'bsrgan-light'];
  if (!Number.isInteger(factor) || factor < 1 || Math.min(image.width, image.height) < 2 * factor) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A picture of ${image.width}x${image.height} cannot be degraded by ${factor}: the factor is a whole number, and both sides are at least twice as long.`,
    );
  }
  const uniform = (low: number, high: number): number => uniformOf(draws, low, high);
  const whole = (low: number, high: number): number => draws.whole(low, high);
  const resample = (picture: FloatImage, width: number, height: number): FloatImage =>
    clip(
      resizeOpencv(
        picture,
        Math.max(1, Math.trunc(width)),
        Math.max(1, Math.trunc(height)),
        filters[draws.whole(0, 2)] as OpencvFilter,
      ),
    );
  const jpeg = async (picture: FloatImage): Promise<FloatImage> => {
    const file = await codec.encode(toByteImage(picture), { format: 'jpeg', quality: whole(...strengths.quality) });
    return toFloatImage(await codec.decode(file));
  };
  const blur = (picture: FloatImage, scale: number): FloatImage => {
    if (draws.share() < 0.5) {
      const [l1, l2] = [
        uniform(0, (4 + scale) / strengths.blurDivisor),
        uniform(0, (4 + scale) / strengths.blurDivisor),
      ];
      return convolveKernel(
        picture,
        anisotropicKernel(
          strengths.anisotropicSize(whole),
          uniform(0, Math.PI),
          Math.max(l1, 1e-6),
          Math.max(l2, 1e-6),
        ),
        'mirror',
      );
    }
    return convolveKernel(
      picture,
      gaussianKernel(
        strengths.gaussianSize(whole),
        Math.max(uniform(0, (2 + 0.2 * scale) / strengths.blurDivisor), 1e-3),
      ),
      'mirror',
    );
  };

  let picture = modcrop(toFloatImage(toRgb(image)), factor);
  const wanted = { width: picture.width / factor, height: picture.height / factor };
  let scale = factor;
  if (factor === 4 && draws.share() < 0.25) {
    picture =
      draws.otherShare() < 0.5
        ? resample(picture, picture.width / 2, picture.height / 2)
        : clip(resizeMatlab(picture, 0.5));
    scale = 2;
  }
  const order = draws.order(7);
  const [first, second] = [order.indexOf(2), order.indexOf(3)];
  if (first > second) [order[first], order[second]] = [3, 2]; // the resize to the target size stays last
  for (const step of order) {
    if (step === 0 || (step === 1 && strengths.blurs === 2)) picture = blur(picture, scale);
    else if (step === 2) {
      if (draws.share() < strengths.resampling) {
        const by = uniform(1, 2 * scale);
        picture = resample(picture, picture.width / by, picture.height / by);
      } else {
        const kernel = shiftedKernel(gaussianKernel(25, uniform(0.1, 0.6 * scale)), scale);
        picture = clip(subsample(convolveKernel(picture, kernel, 'mirror'), scale));
      }
    } else if (step === 3) picture = resample(picture, wanted.width, wanted.height);
    else if (step === 4) picture = addRandomNoise(picture, strengths.noise, draws);
    else if (step === 5 && draws.share() < 0.9) picture = await jpeg(picture);
  }
  return toByteImage(await jpeg(picture));
}
