/** The sizes at which preprocessors work: the resolution of the extension (`resize_image_with_pad`), and that of controlnet_aux (`resize_image`). */

import { StableDiffusionError } from '../errors.ts';
import { type Channels, createImage, crop, type Image } from '../image/image.ts';
import { resizeBytes, roundHalfToEven } from '../image/opencv/resize-bytes.ts';

/** Most pixels at which a preprocessor works: 8192 x 4096. */
const mostPixels = 2 ** 25;

/** Throws `too-large` for a picture whose longer side would become too long with the shorter at `resolution`. */
export function checkWorkingSize({ width, height }: Image, resolution: number): void {
  const k = resolution / Math.min(width, height);
  const pixels = Math.ceil(width * k) * Math.ceil(height * k);
  if (pixels > mostPixels)
    throw new StableDiffusionError(
      'too-large',
      `A picture of ${width} x ${height} pixels with its shorter side at ${resolution} has ${pixels} pixels, and at most ${mostPixels} are worked on. Give a smaller resolution, or a picture that is less long.`,
    );
}

/** RGB; alpha lies over white, cut to whole levels (`HWC3`). */
export function overWhite(image: Image): Image<3> {
  const { width, height, channels, data } = image;
  const out = createImage(width, height, 3);
  for (let i = 0; i < width * height; i++) {
    const share = channels === 4 ? Math.fround((data[4 * i + 3] as number) / 255) : 1;
    const rest = Math.fround(255 * Math.fround(1 - share));
    for (let c = 0; c < 3; c++) {
      const value = data[channels * i + (channels === 1 ? 0 : c)] as number;
      out.data[3 * i + c] = Math.min(255, Math.fround(Math.fround(value * share) + rest));
    }
  }
  return out;
}

/** Extended at the right and the bottom to multiples of 64 by its last pixels. */
export function paddedTo64<C extends Channels>(image: Image<C>): Image<C> {
  const { width, height, channels, data } = image;
  const up = (side: number): number => Math.ceil(side / 64) * 64;
  const out = createImage(up(width), up(height), channels);
  for (let y = 0; y < out.height; y++)
    for (let x = 0; x < out.width; x++) {
      const from = (Math.min(y, height - 1) * width + Math.min(x, width - 1)) * channels;
      out.data.set(data.subarray(from, from + channels), (y * out.width + x) * channels);
    }
  return out;
}

/** A picture with its shorter side at `resolution`, and the padding that a preprocessor sees, which `cut` takes off a map. */
export function atResolution(
  image: Image,
  resolution: number,
): { readonly padded: Image<3>; readonly cut: <C extends Channels>(map: Image<C>) => Image<C> } {
  const rgb = overWhite(image);
  const k = resolution / Math.min(rgb.width, rgb.height);
  const [width, height] = [rgb.width, rgb.height].map((side) => Math.max(1, roundHalfToEven(side * k))) as [
    number,
    number,
  ];
  const resized = resizeBytes(rgb, width, height, k > 1 ? 'cubic' : 'area');
  return { padded: paddedTo64(resized), cut: (map) => crop(map, 0, 0, width, height) };
}

/** controlnet_aux: the shorter side at `resolution`, both sides at the nearest multiple of 64, at least 64. */
export function atMultiplesOf64<C extends Channels>(image: Image<C>, resolution: number): Image<C> {
  const k = resolution / Math.min(image.width, image.height);
  const side = (length: number): number => Math.max(1, roundHalfToEven((length * k) / 64)) * 64;
  return resizeBytes(image, side(image.width), side(image.height), k > 1 ? 'lanczos4' : 'area');
}
