/**
 * Pairs of pictures for super-resolution, as latent-diffusion's `ImageNetSR` makes them: a square crop of a random share of the shorter side,
 * shrunk by areas to the training size, and a small picture of it.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import { crop, type Image, toRgb } from '../../image/image.ts';
import { type OpencvFilter, resizeBytes } from '../../image/opencv/resize-bytes.ts';
import { resize, type ResizeFilter } from '../../image/resize.ts';
import { degradeBsrgan } from './bsrgan.ts';
import { degradeBsrganPlus } from './bsrgan-plus.ts';
import { type DegradationDraws, uniformOf } from './draws.ts';

const opencvFilters: Readonly<Record<string, OpencvFilter>> = {
  cv_nearest: 'nearest',
  cv_bilinear: 'linear',
  cv_bicubic: 'cubic',
  cv_area: 'area',
  cv_lanczos: 'lanczos4',
};
const pillowFilters: Readonly<Record<string, ResizeFilter>> = {
  pil_nearest: 'nearest',
  pil_bilinear: 'bilinear',
  pil_bicubic: 'bicubic',
  pil_box: 'box',
  pil_hamming: 'hamming',
  pil_lanczos: 'lanczos',
};

/** How the small picture is made. */
export const degradations = [
  'bsrgan_light',
  'bsrgan',
  'bsrgan_plus',
  'cv_nearest',
  'cv_bilinear',
  'cv_bicubic',
  'cv_area',
  'cv_lanczos',
  'pil_nearest',
  'pil_bilinear',
  'pil_bicubic',
  'pil_box',
  'pil_hamming',
  'pil_lanczos',
] as const;
export type Degradation = (typeof degradations)[number];

export interface ShareCrop {
  /** Side of the result. */
  readonly size: number;
  /** Least and greatest share of the shorter side, above 0 and at most 1. Defaults 0.5 and 1. */
  readonly least?: number | undefined;
  readonly greatest?: number | undefined;
  /** Crop in the middle. Default false. */
  readonly center?: boolean | undefined;
}

/** The training picture: a crop shrunk, or grown, by areas. */
export function shareCrop(image: Image, options: ShareCrop, draws: DegradationDraws): Image<3> {
  const { size, least = 0.5, greatest = 1, center = false } = options;
  const picture = toRgb(image);
  const { width, height } = picture;
  const shorter = Math.min(width, height);
  const side = Math.trunc(shorter * (least + (greatest - least) * draws.otherShare()));
  if (side < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `A crop of ${least} to ${greatest} of a shorter side of ${shorter} pixels is empty. Use larger pictures or a larger min_crop_f.`,
    );
  const [spareX, spareY] = [width - side, height - side];
  draws.share(); // Transforms of albumentations draw whether they apply, also where they always do.
  const top = center ? Math.floor(spareY / 2) : Math.trunc((spareY + 1) * uniformOf(draws, 0, 1));
  const left = center ? Math.floor(spareX / 2) : Math.trunc((spareX + 1) * uniformOf(draws, 0, 1));
  draws.share();
  return resizeBytes(crop(picture, left, top, side, side), size, size, 'area');
}

export interface SmallPicture {
  readonly degradation: Degradation;
  /** Whole number by which the sides are divided. */
  readonly factor: number;
  /** Codec for the JPEG steps. */
  readonly codec: ImageCodec;
}

/** The small picture of a training picture, from its bytes. */
export async function smallPicture(
  picture: Image<3>,
  { degradation, factor, codec }: SmallPicture,
  draws: DegradationDraws,
): Promise<Image<3>> {
  const [width, height] = [Math.trunc(picture.width / factor), Math.trunc(picture.height / factor)];
  const [opencv, pillow] = [opencvFilters[degradation], pillowFilters[degradation]];
  if (opencv) return resizeBytes(picture, width, height, opencv);
  if (pillow) return resize(picture, width, height, pillow);
  if (degradation === 'bsrgan_plus') {
    // The training picture is sharp already: `PictureOptions.sharpens`.
    const options = { factor, sharpens: false, patchSize: Math.min(width, height), draws, codec };
    return (await degradeBsrganPlus(picture, options)).small;
  }
  return degradeBsrgan(picture, {
    variant: degradation === 'bsrgan' ? 'bsrgan' : 'bsrgan-light',
    factor,
    draws,
    codec,
  });
}
