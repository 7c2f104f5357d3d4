/** The steps that BSRGAN's degradations are made of (ldm image_degradation/bsrgan.py and bsrgan_light.py). */

import type { ImageCodec } from '../../image/codec/codec.ts';
import type { FloatImage } from '../../image/float-image.ts';
import type { OpencvFilter } from '../../image/opencv/resize-bytes.ts';
import { resizeOpencv } from '../../image/opencv/resize-floats.ts';
import { convolveKernel } from './blur.ts';
import { type DegradationDraws, uniformOf } from './draws.ts';
import { anisotropicKernel, gaussianKernel } from './kernel.ts';
import { clip, toByteImage, toFloatImage } from './picture.ts';

export type BsrganVariant = 'bsrgan-light' | 'bsrgan';

export interface BsrganStrengths {
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

export const bsrganStrengths: { readonly [V in BsrganVariant]: BsrganStrengths } = {
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

/** To these sides, cut to whole numbers, by one of three filters. */
export function resampled(picture: FloatImage, width: number, height: number, draws: DegradationDraws): FloatImage {
  const side = (value: number): number => Math.max(1, Math.trunc(value));
  return clip(resizeOpencv(picture, side(width), side(height), filters[draws.whole(0, 2)] as OpencvFilter));
}

/** `add_JPEG_noise`. */
export async function addJpegNoise(
  picture: FloatImage,
  { quality }: BsrganStrengths,
  draws: DegradationDraws,
  codec: ImageCodec,
): Promise<FloatImage> {
  const file = await codec.encode(toByteImage(picture), { format: 'jpeg', quality: draws.whole(...quality) });
  return toFloatImage(await codec.decode(file));
}

/** `add_blur`: by an anisotropic or a round Gaussian. `scale`: how much smaller the picture becomes. */
export function addBlur(
  picture: FloatImage,
  scale: number,
  strengths: BsrganStrengths,
  draws: DegradationDraws,
): FloatImage {
  const { blurDivisor, anisotropicSize, gaussianSize } = strengths;
  const whole = (low: number, high: number): number => draws.whole(low, high);
  if (draws.share() < 0.5) {
    const variance = (): number => uniformOf(draws, 0, (4 + scale) / blurDivisor);
    const [l1, l2] = [variance(), variance()];
    const size = anisotropicSize(whole);
    const kernel = anisotropicKernel(size, uniformOf(draws, 0, Math.PI), Math.max(l1, 1e-6), Math.max(l2, 1e-6));
    return convolveKernel(picture, kernel, 'mirror');
  }
  const size = gaussianSize(whole);
  const deviation = Math.max(uniformOf(draws, 0, (2 + 0.2 * scale) / blurDivisor), 1e-3);
  return convolveKernel(picture, gaussianKernel(size, deviation), 'mirror');
}
