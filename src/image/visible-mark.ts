/** The visible mark of DeepFloyd IF's pictures: a small picture in the lower right corner (diffusers' `IFWatermarker`, `deepfloyd_if/modules/base.py`). */

import { createImage, type Image } from './image.ts';
import { resize } from './resize.ts';

/** Sides for a picture of 1024 x 1024 pixels. */
const [markSide, markGap] = [62, 14];

/** Pillow's DIV255. */
const over255 = (value: number): number => {
  const rounded = value + 128;
  return ((rounded >> 8) + rounded) >> 8;
};

/**
 * The picture with the mark, whose size goes with the root of the area. `nominal` is the side that the model was made for: where a side of the
 * picture is smaller, the place is that of a larger picture, so that the mark may lie outside, as in the original.
 */
export function withVisibleMark({ width, height, data }: Image<3>, mark: Image<4>, nominal: number): Image<3> {
  const share = Math.min(height / nominal, width / nominal);
  const [wide, high] = share < 1 ? [Math.trunc(width / share), Math.trunc(height / share)] : [width, height];
  const factor = Math.sqrt((wide * high) / 1024 ** 2);
  const side = Math.trunc(factor * markSide);
  const out = createImage(width, height, 3, data.slice());
  if (side < 1) return out;
  const sized = resize(mark, side, side, 'bicubic');
  const gap = Math.trunc(markGap * factor);
  const [left, top] = [wide - gap - side, high - gap - side];
  for (let y = Math.max(0, top); y < Math.min(height, top + side); y++) {
    for (let x = Math.max(0, left); x < Math.min(width, left + side); x++) {
      const from = 4 * ((y - top) * side + x - left);
      const to = 3 * (y * width + x);
      const alpha = sized.data[from + 3] as number;
      for (let c = 0; c < 3; c++)
        out.data[to + c] = over255(
          (out.data[to + c] as number) * (255 - alpha) + (sized.data[from + c] as number) * alpha,
        );
    }
  }
  return out;
}
