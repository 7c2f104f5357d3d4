/** From a platform's decoded pixels to the images that codecs return: upright, RGB, or RGBA if not opaque. */

import type { DecodeOptions } from './codec.ts';
import { readExif } from '../metadata/exif.ts';
import { createImage, type Image } from '../image.ts';
import type { ImageFile } from './image-file.ts';
import { applyOrientation } from './orientation.ts';

/** `data`: 1 (grey), 2 (grey, alpha), 3 or 4 interleaved channels, alpha not premultiplied. */
export function finishDecode(
  data: Uint8Array,
  width: number,
  height: number,
  channels: number,
  file: ImageFile,
  options: DecodeOptions,
): Image<3 | 4> {
  const count = width * height;
  const hasAlpha = channels === 2 || channels === 4;
  let opaque = true;
  if (hasAlpha) for (let i = channels - 1; opaque && i < data.length; i += channels) opaque = data[i] === 255;
  const colours = channels >= 3 ? [0, 1, 2] : [0, 0, 0];
  let image: Image<3 | 4>;
  if (channels === 3 || (channels === 4 && !opaque)) image = createImage(width, height, channels, data);
  else {
    image = createImage(width, height, opaque ? 3 : 4);
    for (let i = 0, to = 0; i < count; i++) {
      for (const c of colours) image.data[to++] = data[i * channels + c] as number;
      if (!opaque) image.data[to++] = data[i * channels + channels - 1] as number;
    }
  }
  return options.orientation === 'ignore' || !file.exif
    ? image
    : applyOrientation(image, readExif(file.exif).orientation);
}
