/**
 * The longer degradation of BSRGAN with Real-ESRGAN's sharpening (`degradation_bsrgan_plus`, ldm image_degradation/bsrgan.py): two rounds of blur,
 * resizing and noise of four kinds, all of them in random order half of the time; then the small size, JPEG, and a crop of the pair.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import type { FloatImage } from '../../image/float-image.ts';
import { type Image, toRgb } from '../../image/image.ts';
import { sharpen } from './blur.ts';
import { addBlur, addJpegNoise, bsrganStrengths, resampled } from './bsrgan-steps.ts';
import { type DegradationDraws, uniformOf } from './draws.ts';
import { addPoissonNoise, addRandomNoise, addSpeckleNoise } from './noise.ts';
import { clip, cropPair, modcrop, toByteImage, toFloatImage } from './picture.ts';

export interface BsrganPlusOptions {
  /** Downscaling factor, a whole number of at least 1. Default 4. */
  readonly factor?: number;
  /** Probability that all steps are shuffled, and not the noises of each round alone. Default 0.5. */
  readonly shuffleShare?: number;
  /** Whether the large picture is sharpened first. Default true. */
  readonly sharpens?: boolean;
  /** Side of the small picture, which is cut out at random with what belongs to it of the large one. Default 64. */
  readonly patchSize?: number;
  readonly draws: DegradationDraws;
  /** Codec for the JPEG steps. */
  readonly codec: ImageCodec;
}

export interface DegradedPair {
  readonly small: Image<3>;
  readonly large: Image<3>;
}

/** Poisson noise, noise in proportion to the brightness, and noise of a camera, which there is no model of. */
const seldom = 0.1;

/** `add_resize`: larger one time in five, smaller seven times in ten. */
function resizedAtRandom(picture: FloatImage, factor: number, draws: DegradationDraws): FloatImage {
  const kind = draws.otherShare();
  const by = kind > 0.8 ? uniformOf(draws, 1, 2) : kind < 0.7 ? uniformOf(draws, 0.5 / factor, 1) : 1;
  return resampled(picture, by * picture.width, by * picture.height, draws);
}

function stepOrder(draws: DegradationDraws, shuffleShare: number): number[] {
  if (draws.share() < shuffleShare) return draws.order(13);
  const [first, second] = [draws.order(4), draws.order(4)];
  return [0, 1, ...first.map((i) => 2 + i), 6, 7, 8, ...second.map((i) => 9 + i)];
}

/** Throws `invalid-argument` for a picture smaller than the patch. */
export async function degradeBsrganPlus(image: Image, options: BsrganPlusOptions): Promise<DegradedPair> {
  const { factor = 4, shuffleShare = 0.5, sharpens = true, patchSize = 64, draws, codec } = options;
  const cut = modcrop(toFloatImage(toRgb(image)), Number.isInteger(factor) && factor > 0 ? factor : 1);
  if (
    !Number.isInteger(factor) ||
    factor < 1 ||
    !(patchSize >= 1) ||
    Math.min(cut.width, cut.height) < patchSize * factor
  )
    throw new StableDiffusionError(
      'invalid-argument',
      `A picture of ${image.width}x${image.height} cannot be degraded by ${factor} to ${patchSize}x${patchSize}: the factor is a whole number, and both sides are at least that many times ${patchSize}.`,
    );
  const large = sharpens ? sharpen(cut) : cut;
  const strengths = bsrganStrengths.bsrgan;
  let picture = large;
  for (const step of stepOrder(draws, shuffleShare)) {
    if (step === 0 || step === 7) picture = addBlur(picture, factor, strengths, draws);
    else if (step === 1 || step === 8) picture = resizedAtRandom(picture, factor, draws);
    else if (step === 2 || step === 9) picture = addRandomNoise(picture, strengths.noise, draws);
    else if (step === 6) picture = await addJpegNoise(picture, strengths, draws, codec);
    else if (draws.share() < seldom) {
      if (step === 3 || step === 10) picture = addPoissonNoise(picture, draws);
      else if (step === 4 || step === 11) picture = addSpeckleNoise(picture, strengths.noise, draws);
    }
  }
  picture = clip(resampled(picture, large.width / factor, large.height / factor, draws));
  picture = await addJpegNoise(picture, strengths, draws, codec);
  const pair = cropPair(picture, large, { factor, side: patchSize }, draws);
  return { small: toByteImage(pair.small), large: toByteImage(pair.large) };
}
