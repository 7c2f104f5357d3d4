/** A1111's resize modes (modules/images.py `resize_image`, v1.10.1): a picture of other proportions is stretched, cut or padded. */

import { type Channels, createImage, crop, type Image, paste } from './image.ts';
import { resize } from './resize.ts';

export const resizeModes = ['stretch', 'crop', 'fill'] as const;
export type ResizeMode = (typeof resizeModes)[number];

/** The picture at `width` x `height`, by Lanczos. */
export function fitImage<C extends Channels>(
  image: Image<C>,
  width: number,
  height: number,
  mode: ResizeMode,
): Image<C> {
  if (image.width === width && image.height === height) return image;
  if (mode === 'stretch') return resize(image, width, height, 'lanczos');
  const wide = width / height;
  const sourceWide = image.width / image.height;
  if (mode === 'crop') {
    const w = wide > sourceWide ? width : Math.floor((image.width * height) / image.height);
    const h = wide <= sourceWide ? height : Math.floor((image.height * width) / image.width);
    const [left, top] = [Math.floor((w - width) / 2), Math.floor((h - height) / 2)];
    // Of proportions that are far apart the whole would be thousands of times as large as what is kept: only that is made.
    if (w * h > 4 * width * height) {
      const [x, y] = [image.width / w, image.height / h];
      return resize(image, width, height, 'lanczos', {
        left: left * x,
        top: top * y,
        right: Math.min(image.width, (left + width) * x),
        bottom: Math.min(image.height, (top + height) * y),
      });
    }
    return crop(resize(image, Math.max(1, w), Math.max(1, h), 'lanczos'), left, top, width, height);
  }
  const w = wide < sourceWide ? width : Math.floor((image.width * height) / image.height);
  const h = wide >= sourceWide ? height : Math.floor((image.height * width) / image.width);
  const scaled = resize(image, Math.max(1, w), Math.max(1, h), 'lanczos');
  const out = createImage(width, height, image.channels);
  const left = Math.floor((width - scaled.width) / 2);
  const top = Math.floor((height - scaled.height) / 2);
  // The margins hold the picture's edge, drawn out.
  if (top > 0) {
    const row = (y: number) => ({ left: 0, top: y, right: scaled.width, bottom: y + 1 });
    paste(out, resize(scaled, width, top, 'nearest', row(0)), 0, 0);
    const below = height - top - scaled.height;
    if (below > 0) paste(out, resize(scaled, width, below, 'nearest', row(scaled.height - 1)), 0, top + scaled.height);
  } else if (left > 0) {
    const column = (x: number) => ({ left: x, top: 0, right: x + 1, bottom: scaled.height });
    paste(out, resize(scaled, left, height, 'nearest', column(0)), 0, 0);
    const beside = width - left - scaled.width;
    if (beside > 0)
      paste(out, resize(scaled, beside, height, 'nearest', column(scaled.width - 1)), left + scaled.width, 0);
  }
  paste(out, scaled, left, top);
  return out;
}
