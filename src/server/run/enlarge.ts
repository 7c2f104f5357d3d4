/** Resampling to a size, whole or the middle part with its proportions. */

import type { Image } from '../../image/image.ts';
import { type ResizeFilter, resize } from '../../image/resize.ts';

export interface Enlargement {
  readonly width: number;
  readonly height: number;
  /** Keep the proportions and cut what stands over; else it is stretched. */
  readonly crop: boolean;
  readonly filter: ResizeFilter;
}

export function enlarge(image: Image<3>, { width, height, crop, filter }: Enlargement): Image<3> {
  const scale = Math.max(width / image.width, height / image.height);
  const [w, h] = [Math.min(image.width, width / scale), Math.min(image.height, height / scale)];
  const [left, top] = [(image.width - w) / 2, (image.height - h) / 2];
  return resize(image, width, height, filter, crop ? { left, top, right: left + w, bottom: top + h } : undefined);
}
