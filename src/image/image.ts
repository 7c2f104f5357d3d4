/** Image: 8-bit pixels in rows from the top left, channels interleaved. Plain data; codecs, resampling, watermark and terminals all speak it. */

import { StableDiffusionError } from '../errors.ts';

/** 1: grey. 3: red, green, blue. 4: red, green, blue, alpha (not premultiplied). Colour is sRGB as stored in the file. */
export type Channels = 1 | 3 | 4;

export interface Image<C extends Channels = Channels> {
  /** Pixels, at least 1. */
  readonly width: number;
  /** Pixels, at least 1. */
  readonly height: number;
  readonly channels: C;
  /** `height * width * channels` bytes. */
  readonly data: Uint8Array;
}

/** An image over `data` (not copied), or a black one. Throws `invalid-argument` for sizes that are not positive whole numbers, `shape-mismatch` where `data` has another length. */
export function createImage<C extends Channels>(
  width: number,
  height: number,
  channels: C,
  data?: Uint8Array,
): Image<C> {
  if (!Number.isSafeInteger(width) || !Number.isSafeInteger(height) || width < 1 || height < 1) {
    throw new StableDiffusionError(
      'invalid-argument',
      `An image cannot be ${width}x${height} pixels: width and height are whole numbers from 1.`,
    );
  }
  const length = width * height * channels;
  if (data && data.length !== length) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `An image of ${width}x${height} with ${channels} channels has ${length} bytes, and ${data.length} were given.`,
    );
  }
  return { width, height, channels, data: data ?? new Uint8Array(length) };
}

/** Three channels: grey is repeated and alpha is dropped, so that hidden colours show (PIL's `convert("RGB")`). The same object if it is RGB already. */
export function toRgb(image: Image): Image<3> {
  const { width, height, channels, data } = image;
  if (channels === 3) return image as Image<3>;
  const out = new Uint8Array(width * height * 3);
  const green = channels === 1 ? 0 : 1;
  const blue = channels === 1 ? 0 : 2;
  for (let from = 0, to = 0; to < out.length; from += channels, to += 3) {
    out[to] = data[from] as number;
    out[to + 1] = data[from + green] as number;
    out[to + 2] = data[from + blue] as number;
  }
  return createImage(width, height, 3, out);
}

/**
 * Three channels, with alpha composited over `background` (white by default) and rounded to the nearest level.
 *
 * The result a person expects for a transparent picture; `toRgb` does the same as PIL's `convert("RGB")`, and so as CompVis and diffusers.
 */
export function flatten(image: Image, background: readonly [number, number, number] = [255, 255, 255]): Image<3> {
  if (image.channels !== 4) return toRgb(image);
  const { width, height, data } = image;
  const out = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < out.length; from += 4, to += 3) {
    const alpha = data[from + 3] as number;
    for (let c = 0; c < 3; c++) {
      out[to + c] = Math.floor(
        ((data[from + c] as number) * alpha + (background[c] as number) * (255 - alpha)) / 255 + 0.5,
      );
    }
  }
  return createImage(width, height, 3, out);
}

/** One channel: luma of ITU-R 601 in Pillow's fixed point, `(19595 R + 38470 G + 7471 B + 2^15) >> 16`. Alpha is ignored, as by PIL's `convert("L")`. */
export function toGrey(image: Image): Image<1> {
  const { width, height, channels, data } = image;
  if (channels === 1) return image as Image<1>;
  const out = new Uint8Array(width * height);
  for (let from = 0, to = 0; to < out.length; from += channels, to++) {
    out[to] =
      ((data[from] as number) * 19595 +
        (data[from + 1] as number) * 38470 +
        (data[from + 2] as number) * 7471 +
        0x8000) >>
      16;
  }
  return createImage(width, height, 1, out);
}

/** One channel: the alpha of a four-channel image; opaque (255) where it has none. */
export function alphaOf(image: Image): Image<1> {
  const out = new Uint8Array(image.width * image.height).fill(255);
  if (image.channels === 4) for (let i = 0; i < out.length; i++) out[i] = image.data[4 * i + 3] as number;
  return createImage(image.width, image.height, 1, out);
}

/** The rectangle of `width` x `height` whose top left corner is (`left`, `top`). What lies outside the image is black and transparent (PIL's `crop`). */
export function crop<C extends Channels>(
  image: Image<C>,
  left: number,
  top: number,
  width: number,
  height: number,
): Image<C> {
  const out = createImage(width, height, image.channels);
  paste(out, image, -left, -top);
  return out;
}

/** Copies `source` into `target` (which is changed) with its top left corner at (`left`, `top`); what falls outside is left away. Channels must be the same. */
export function paste<C extends Channels>(target: Image<C>, source: Image<C>, left: number, top: number): void {
  const channels = target.channels;
  if (channels !== source.channels) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `An image of ${source.channels} channels cannot be pasted into one of ${channels}.`,
    );
  }
  const fromX = Math.max(0, -left);
  const toX = Math.max(0, left);
  const count = Math.min(source.width - fromX, target.width - toX) * channels;
  if (count <= 0) return;
  for (let y = Math.max(0, -top); y < source.height && y + top < target.height; y++) {
    const from = (y * source.width + fromX) * channels;
    target.data.set(source.data.subarray(from, from + count), ((y + top) * target.width + toX) * channels);
  }
}
