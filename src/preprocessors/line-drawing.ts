/** Preprocessors that find lines and tones by arithmetic alone (sd-webui-controlnet's processor.py), exact to the pixel. */

import type { FloatImage } from '../image/float-image.ts';
import { createImage, type Image } from '../image/image.ts';
import { canny as cannyEdges } from '../image/opencv/canny.ts';
import { greyOf, otsuLevel } from '../image/opencv/colour.ts';
import { lightness } from '../image/opencv/lab.ts';
import { blurBytes, blurFloats } from '../image/opencv/gaussian-blur.ts';
import { suppressed } from '../image/opencv/thinning.ts';

const fround = Math.fround;

/** Grey as three equal channels. */
export function greyToRgb({ width, height, data }: Image<1>): Image<3> {
  const out = createImage(width, height, 3);
  for (const [i, value] of data.entries()) out.data.fill(value, 3 * i, 3 * i + 3);
  return out;
}

/** A grey picture from a function of the pixel's number. */
function greyBy({ width, height }: Image, value: (pixel: number) => number): Image<1> {
  return createImage(
    width,
    height,
    1,
    Uint8Array.from({ length: width * height }, (_, i) => value(i)),
  );
}

const floats = ({ width, height, data }: Image<3>): FloatImage => ({
  width,
  height,
  channels: 3,
  data: Float32Array.from(data),
});

/** The smallest of a pixel's three samples. */
const least = (data: ArrayLike<number>, pixel: number): number =>
  Math.min(data[3 * pixel] as number, data[3 * pixel + 1] as number, data[3 * pixel + 2] as number);

export const canny = (image: Image<3>, low: number, high: number): Image<1> => cannyEdges(image, low, high);

export const invert = (image: Image<3>): Image<3> => ({ ...image, data: image.data.map((value) => 255 - value) });

/** White where the smallest sample lies above the level. */
export const threshold = (image: Image<3>, level: number): Image<3> =>
  greyToRgb(greyBy(image, (i) => (least(image.data, i) > level ? 255 : 0)));

/** Black where grey lies above the level; 0 and 255 find the level by Otsu's method. */
export function binary(image: Image<3>, level: number): Image<3> {
  const grey = greyOf(image);
  const cut = level === 0 || level === 255 ? otsuLevel(grey) : level;
  return greyToRgb(greyBy(image, (i) => ((grey.data[i] as number) > cut ? 0 : 255)));
}

/** Scribble by the difference of two Gaussians (Winnemoeller et al. 2012, "XDoG"). The doubled difference is kept in 8 bits, as there. */
export function scribbleXdog(image: Image<3>, level: number): Image<3> {
  const [near, far] = [blurFloats(floats(image), 0.5).data, blurFloats(floats(image), 5).data];
  const change = far.map((value, i) => value - (near[i] as number));
  return greyToRgb(
    greyBy(image, (i) => {
      const dog = Math.trunc(Math.min(255, Math.max(0, fround(255 - least(change, i)))));
      return ((2 * (255 - dog)) & 255) > level ? 255 : 0;
    }),
  );
}

/** Dark lines on a light ground: how far a pixel lies below its surroundings. */
export function lineartStandard(image: Image<3>): Image<1> {
  const blurred = blurFloats(floats(image), 6).data;
  const change = blurred.map((value, i) => value - (image.data[i] as number));
  const depth = Float32Array.from({ length: image.width * image.height }, (_, i) =>
    Math.min(255, Math.max(0, least(change, i))),
  );
  const marked = depth.filter((value) => value > 8).toSorted();
  const middle = marked.length >> 1;
  const median =
    marked.length % 2 === 1
      ? (marked[middle] as number)
      : fround(((marked[middle - 1] ?? 0) + (marked[middle] ?? 0)) / 2);
  const divisor = Math.max(16, marked.length === 0 ? 0 : median);
  return greyBy(image, (i) => Math.trunc(Math.min(255, fround(fround((depth[i] as number) / divisor) * 127))));
}

/** A tone curve of lightness or of the strongest channel. The picture's red and blue are exchanged first, as there. */
function recolour(image: Image<3>, gamma: number, tone: (r: number, g: number, b: number) => number): Image<3> {
  const power = fround(gamma);
  return greyToRgb(
    greyBy(image, (i) => {
      const [first, green, last] = image.data.subarray(3 * i, 3 * i + 3) as unknown as [number, number, number];
      const level = fround(tone(last, green, first) / 255);
      return Math.trunc(Math.min(255, fround(fround(level ** power) * 255)));
    }),
  );
}

export const recolourLuminance = (image: Image<3>, gamma: number): Image<3> => recolour(image, gamma, lightness);
export const recolourIntensity = (image: Image<3>, gamma: number): Image<3> => recolour(image, gamma, Math.max);

/** A map of soft edges as a scribble: ridges drawn with a broad pen. */
export function scribbleFromMap(map: Image<1>): Image<1> {
  const drawn = blurBytes(suppressed(map, 127, 3), 3);
  return { ...drawn, data: drawn.data.map((value) => (value > 4 ? 255 : 0)) };
}

/** A value in [0, 1] cut to `steps` + 1 levels (`safe_step`), float32. */
export const safeStep = (value: number, steps = 2): number =>
  fround(Math.trunc(fround(fround(value) * (steps + 1))) / steps);
