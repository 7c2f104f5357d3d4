/** Between pictures of bytes and of floats, as image degradation has it. */

import { floatImage, type FloatImage } from '../../image/float-image.ts';
import { createImage, type Image, toRgb } from '../../image/image.ts';
import type { DegradationDraws } from './draws.ts';

const fround = Math.fround;

/** `uint2single`: levels over 255. */
export function toFloatImage(image: Image): FloatImage {
  const { width, height, data } = toRgb(image);
  return floatImage(
    width,
    height,
    3,
    Float32Array.from(data, (value) => value / 255),
  );
}

/** `single2uint`: clipped to [0, 1], times 255, rounded half to even. */
export function toByteImage(image: FloatImage): Image<3> {
  const out = new Uint8Array(image.data.length);
  for (let i = 0; i < out.length; i++) {
    const value = fround(Math.min(Math.max(image.data[i] as number, 0), 1) * 255);
    const floor = Math.floor(value);
    const rest = value - floor;
    out[i] = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  }
  return createImage(image.width, image.height, 3, out);
}

export function clip(image: FloatImage): FloatImage {
  return { ...image, data: image.data.map((value) => Math.min(Math.max(value, 0), 1)) };
}

/** `modcrop`: without the last rows and columns that are over a multiple of `factor`. */
export function modcrop(image: FloatImage, factor: number): FloatImage {
  return cropFloat(image, image.width - (image.width % factor), image.height - (image.height % factor), 1);
}

/** `random_crop`: a square of the small picture, and what belongs to it of the large one. */
export function cropPair(
  small: FloatImage,
  large: FloatImage,
  { factor, side }: { readonly factor: number; readonly side: number },
  draws: DegradationDraws,
): { readonly small: FloatImage; readonly large: FloatImage } {
  const top = draws.whole(0, small.height - side);
  const left = draws.whole(0, small.width - side);
  return {
    small: cropFloat(small, side, side, 1, { left, top }),
    large: cropFloat(large, side * factor, side * factor, 1, { left: left * factor, top: top * factor }),
  };
}

/** Every `step`-th pixel of every `step`-th row, from the first: `x[0::step, 0::step]`. */
export function subsample(image: FloatImage, step: number): FloatImage {
  return cropFloat(image, Math.ceil(image.width / step), Math.ceil(image.height / step), step);
}

function cropFloat(
  image: FloatImage,
  width: number,
  height: number,
  step: number,
  { left, top } = { left: 0, top: 0 },
): FloatImage {
  const { channels } = image;
  const out = floatImage(width, height, channels);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++)
      for (let c = 0, from = ((top + y * step) * image.width + left + x * step) * channels; c < channels; c++)
        out.data[to++] = image.data[from + c] as number;
  }
  return out;
}
