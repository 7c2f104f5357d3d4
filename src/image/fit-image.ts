/**
 * A1111's resize modes (modules/images.py `resize_image`, v1.10.1): a picture of other proportions is stretched, cut, or padded with its
 * own edge.
 */

import { type Channels, createImage, crop, type Image, paste } from './image.ts';
import { resize } from './resize.ts';

export const resizeModes = ['stretch', 'crop', 'fill'] as const;
export type ResizeMode = (typeof resizeModes)[number];

/** Resizes a picture of any aspect ratio to a given size. */
export type Resizer<C extends Channels> = (image: Image<C>, width: number, height: number) => Image<C>;

const lanczos = <C extends Channels>(image: Image<C>, width: number, height: number): Image<C> =>
  resize(image, width, height, 'lanczos');

/** Size with the picture's proportions: the largest inside `width` x `height`, or the smallest that covers it. */
export function sizeWithin(image: Image, width: number, height: number, cover: boolean): [number, number] {
  const [wide, sourceWide] = [width / height, image.width / image.height];
  const byWidth = cover ? wide > sourceWide : wide < sourceWide;
  const byHeight = cover ? wide <= sourceWide : wide >= sourceWide;
  return [
    Math.max(1, byWidth ? width : Math.floor((image.width * height) / image.height)),
    Math.max(1, byHeight ? height : Math.floor((image.height * width) / image.width)),
  ];
}

/** The picture at `width` x `height`; resampled by Lanczos unless `resizer` does it. */
export function fitImage<C extends Channels>(
  image: Image<C>,
  width: number,
  height: number,
  mode: ResizeMode,
  resizer: Resizer<C> = lanczos,
): Image<C> {
  if (image.width === width && image.height === height) return image;
  if (mode === 'stretch') return resizer(image, width, height);
  const [w, h] = sizeWithin(image, width, height, mode === 'crop');
  if (mode === 'crop' && w * h > 4 * width * height) return croppedFirst(image, width, height, w, h);
  return placed(resizer(image, w, h), width, height, mode);
}

/** For very different aspect ratios the complete resized picture would be thousands of times larger than the crop, so only the crop is computed. */
function croppedFirst<C extends Channels>(
  image: Image<C>,
  width: number,
  height: number,
  w: number,
  h: number,
): Image<C> {
  const [left, top] = [Math.floor((w - width) / 2), Math.floor((h - height) / 2)];
  const [x, y] = [image.width / w, image.height / h];
  return resize(image, width, height, 'lanczos', {
    left: left * x,
    top: top * y,
    right: Math.min(image.width, (left + width) * x),
    bottom: Math.min(image.height, (top + height) * y),
  });
}

/** A picture that is already scaled, in the middle of `width` x `height`: cut there, or with its edges drawn out (`fill`). */
export function placed<C extends Channels>(
  scaled: Image<C>,
  width: number,
  height: number,
  mode: 'crop' | 'fill',
): Image<C> {
  const left = Math.floor(width / 2) - Math.floor(scaled.width / 2);
  const top = Math.floor(height / 2) - Math.floor(scaled.height / 2);
  if (mode === 'crop') return crop(scaled, -left, -top, width, height);
  const out = createImage(width, height, scaled.channels);
  paste(out, scaled, left, top);
  if (top > 0) {
    for (let y = 0; y < top; y++) paste(out, edge(scaled, 'row', 0, 1), 0, y);
    const last = edge(scaled, 'row', scaled.height - 1, scaled.height - 2);
    for (let y = top + scaled.height; y < Math.min(height, 2 * top + scaled.height); y++) paste(out, last, 0, y);
  } else if (left > 0) {
    for (let x = 0; x < left; x++) paste(out, edge(scaled, 'column', 0, 1), x, 0);
    const last = edge(scaled, 'column', scaled.width - 1, scaled.width - 2);
    for (let x = left + scaled.width; x < Math.min(width, 2 * left + scaled.width); x++) paste(out, last, x, 0);
  }
  return out;
}

/**
 * The outermost row or column as Pillow's bicubic filter draws it out of a box without height or width: 9/8 of it less 1/8 of its
 * neighbour.
 */
function edge<C extends Channels>(image: Image<C>, along: 'row' | 'column', at: number, next: number): Image<C> {
  const line = (n: number): Image<C> =>
    along === 'row' ? crop(image, 0, n, image.width, 1) : crop(image, n, 0, 1, image.height);
  const outer = line(at);
  if (next < 0 || next >= (along === 'row' ? image.height : image.width)) return outer;
  const inner = line(next).data;
  const data = outer.data.map((value, i) =>
    Math.min(255, Math.max(0, Math.floor(0.5 + (9 * value - (inner[i] as number)) / 8))),
  );
  return createImage(outer.width, outer.height, outer.channels, data);
}
