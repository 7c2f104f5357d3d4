/**
 * Preparing a picture for training: to RGB, the shorter side resized to the target size, cropped to a square, flipped. Sizes, positions and
 * the draws from the generator are torchvision's (`Resize`, `CenterCrop` or `RandomCrop`, `RandomHorizontalFlip`), pixels are Pillow's.
 */

import { StableDiffusionError } from '../../errors.ts';
import { crop, createImage, flatten, type Image, toRgb } from '../../image/image.ts';
import { resize, type ResizeFilter } from '../../image/resize.ts';
import { sharpen } from '../degrade/blur.ts';
import { generatorDraws } from '../degrade/draws.ts';
import { toByteImage, toFloatImage } from '../degrade/picture.ts';
import { shareCrop } from '../degrade/super-resolution-picture.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import type { ImageItem } from './sample.ts';
import { admCenterCrop, admRandomCrop } from './adm-pictures.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';

export interface PictureOptions {
  /** Pixels of each side: 512 for Stable Diffusion v1, 256 in its first phase. */
  readonly size: number;
  /** Default `center`. */
  readonly crop?: 'center' | 'random';
  /** Squares as guided-diffusion makes them (`center_crop_arr`, `random_crop_arr`). Default false. */
  readonly adm?: boolean;
  /** A square crop of a share of the shorter side, drawn between these two, and resized by areas, in place of the other crops (`ImageNetSR`). */
  readonly share?: { readonly least: number; readonly greatest: number };
  /** Probability of mirroring left and right. Default 0. */
  readonly flip?: number;
  /** Default `bicubic`, as the configurations of Stable Diffusion. */
  readonly filter?: ResizeFilter;
  /** Colour behind transparent pixels; by default transparency is dropped, which shows the colours hidden below it (`convert("RGB")`). */
  readonly background?: readonly [number, number, number];
  /** Sharpened, as the large picture of a pair by `degradation_bsrgan_plus`. Default false. */
  readonly sharpens?: boolean;
}

/** A square RGB picture of the target size. The generator is used only for random crops and flips. */
export function preparePicture(picture: Image, options: PictureOptions, generator: TorchGenerator): Image<3> {
  return preparedPicture(picture, options, generator).image;
}

/** The same, with the part of the picture that it shows: its corner is that of the mirrored picture where it is mirrored (diffusers' train_text_to_image_sdxl.py). */
export function preparedPicture(
  picture: Image,
  options: PictureOptions,
  generator: TorchGenerator,
): Pick<ImageItem, 'image' | 'sizes'> {
  const prepared = squareOf(picture, options, generator);
  return options.sharpens ? { ...prepared, image: toByteImage(sharpen(toFloatImage(prepared.image))) } : prepared;
}

function squareOf(
  picture: Image,
  options: PictureOptions,
  generator: TorchGenerator,
): Pick<ImageItem, 'image' | 'sizes'> {
  const { size, flip = 0, filter = 'bicubic' } = options;
  if (!Number.isInteger(size) || size < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `The size of training pictures is a whole number of pixels, and ${size} was given.`,
    );
  const rgb = options.background ? flatten(picture, options.background) : toRgb(picture);
  if (options.share) {
    const center = options.crop !== 'random';
    const square = shareCrop(rgb, { size, ...options.share, center }, generatorDraws(generator));
    return { image: flip > 0 && generator.uniform() < flip ? mirror(square) : square };
  }
  if (options.adm) {
    const square = options.crop === 'random' ? admRandomCrop(rgb, size, generator) : admCenterCrop(rgb, size);
    return { image: flip > 0 && generator.uniform() < flip ? mirror(square) : square };
  }
  const { width, height } = rgb;
  const longer = Math.trunc((size * Math.max(width, height)) / Math.min(width, height));
  const [newWidth, newHeight] = width <= height ? [size, longer] : [longer, size];
  const resized = newWidth === width && newHeight === height ? rgb : resize(rgb, newWidth, newHeight, filter);
  const [spareX, spareY] = [newWidth - size, newHeight - size];
  let [left, top] = [roundHalfEven(spareX / 2), roundHalfEven(spareY / 2)];
  if (options.crop === 'random' && spareX + spareY > 0) {
    top = generator.integer(0, spareY + 1);
    left = generator.integer(0, spareX + 1);
  }
  const square = spareX + spareY > 0 ? crop(resized, left, top, size, size) : resized;
  const isMirrored = flip > 0 && generator.uniform() < flip;
  return {
    image: isMirrored ? mirror(square) : square,
    sizes: { original: [height, width], crop: [top, isMirrored ? spareX - left : left] },
  };
}

/** Left and right exchanged. */
export function mirror(picture: Image<3>): Image<3> {
  const { width, height, data } = picture;
  const out = createImage(width, height, 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      out.data.set(data.subarray(from, from + 3), (y * width + width - 1 - x) * 3);
    }
  }
  return out;
}
