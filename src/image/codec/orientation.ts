/** Turning an image as its EXIF orientation asks (Pillow's `ImageOps.exif_transpose`). */

import { createImage, type Channels, type Image } from '../image.ts';

/** The upright image: orientation 1 to 8 of the TIFF specification; anything else changes nothing. 5 to 8 exchange width and height. */
export function applyOrientation<C extends Channels>(image: Image<C>, orientation: number | undefined): Image<C> {
  if (!orientation || orientation < 2 || orientation > 8) return image;
  const { width, height, channels, data } = image;
  const turned = orientation >= 5;
  const out = createImage(turned ? height : width, turned ? width : height, channels);
  // The direction of the stored rows and columns in the upright image.
  const flipX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const flipY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  for (let y = 0, to = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++, to += channels) {
      const [column, row] = turned ? [y, x] : [x, y];
      const from = ((flipY ? height - 1 - row : row) * width + (flipX ? width - 1 - column : column)) * channels;
      for (let c = 0; c < channels; c++) out.data[to + c] = data[from + c] as number;
    }
  }
  return out;
}
