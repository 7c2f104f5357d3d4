/** Resampling to a size, whole or the middle part with its proportions. */

import { createImage, type Image } from './image.ts';
import { type ResizeFilter, resize } from './resize.ts';

export interface Enlargement {
  readonly width: number;
  readonly height: number;
  /** Keep the aspect ratio and crop; otherwise stretch. */
  readonly crop: boolean;
  readonly filter: ResizeFilter;
  /** Another filter, and its share of the result: 0 to 1. */
  readonly second?: { readonly filter: ResizeFilter; readonly share: number };
}

export function enlarge(image: Image<3>, { width, height, crop, filter, second }: Enlargement): Image<3> {
  const scale = Math.max(width / image.width, height / image.height);
  const [w, h] = [Math.min(image.width, width / scale), Math.min(image.height, height / scale)];
  const [left, top] = [(image.width - w) / 2, (image.height - h) / 2];
  const part = crop ? { left, top, right: left + w, bottom: top + h } : undefined;
  const first = resize(image, width, height, filter, part);
  if (!second) return first;
  const other = resize(image, width, height, second.filter, part).data;
  return createImage(
    width,
    height,
    3,
    first.data.map((value, i) => Math.round(value + ((other[i] as number) - value) * second.share)),
  );
}
