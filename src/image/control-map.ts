/**
 * A control map at the size of the result, as sd-webui-controlnet 1.1.455 makes it (`Script.detectmap_proc`): areas of few colours keep their
 * colours, edges of one pixel stay one pixel wide, two colours stay two.
 */

import { type FloatImage, floatImage } from './float-image.ts';
import type { ResizeMode } from './fit-image.ts';
import { createImage, type Image } from './image.ts';
import { otsuLevel } from './opencv/colour.ts';
import { type OpencvFilter, resizeBytes, roundHalfToEven } from './opencv/resize-bytes.ts';
import { resizeOpencv } from './opencv/resize-floats.ts';
import { ridges, thin } from './opencv/thinning.ts';

interface Sides {
  readonly width: number;
  readonly height: number;
}

/** Number of distinct colours of the first three channels; counting stops at 200. */
function countColours({ channels, data }: FloatImage | Image): number {
  const seen = new Set<string>();
  for (let i = 0; i < data.length && seen.size < 200; i += channels) seen.add(data.subarray(i, i + 3).join());
  return seen.size;
}

/** Erosion, or dilation, by a 3x3 square of one channel; what lies outside does not count. */
function extreme(values: Uint8Array, { width, height }: Sides, pick: (a: number, b: number) => number): Uint8Array {
  const out = new Uint8Array(values.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      let best = values[y * width + x] as number;
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++)
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++)
          best = pick(best, values[row * width + column] as number);
      out[y * width + x] = best;
    }
  return out;
}

/** Whether more than half of the bright samples vanish under an opening: lines of one pixel. */
function hasThinEdges(image: Image<3>): boolean {
  let [thinCount, brightCount] = [0, 0];
  for (let c = 0; c < 3; c++) {
    const plane = image.data.filter((_, i) => i % 3 === c);
    const opened = extreme(extreme(plane, image, Math.min), image, Math.max);
    for (const [i, value] of plane.entries()) {
      if ((opened[i] as number) < value) thinCount++;
      if (value > 127) brightCount++;
    }
  }
  return thinCount * 2 > brightCount;
}

const isBlackAndWhite = ({ data }: Image<3>): boolean => {
  let [least, most] = [255, 0];
  for (const value of data) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return least < 16 && most > 240;
};

function filterFor(image: FloatImage | Image, { width, height }: Sides, colours: number): OpencvFilter {
  if (colours > 2 && colours < 200) return 'nearest';
  return width * height < image.width * image.height ? 'area' : 'cubic';
}

/** The mean of the channels, cut to whole levels. */
function grey({ width, height, data }: Image<3>): Uint8Array {
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const sum = (data[3 * i] as number) + (data[3 * i + 1] as number) + (data[3 * i + 2] as number);
    return Math.trunc(Math.fround(sum / 3));
  });
}

/** Black and white again: ridges and thinning for lines of one pixel, Otsu's threshold for all. */
function binaryAgain(resized: Image<3>, isThin: boolean, isBigger: boolean): Image<3> {
  const { width, height } = resized;
  const levels = grey(resized);
  const kept = isThin ? ridges(levels, width, height) : levels;
  const level = otsuLevel(createImage(width, height, 1, kept));
  const cut = createImage(
    width,
    height,
    1,
    kept.map((value) => (value > level ? 255 : 0)),
  );
  const lines = (isThin ? thin(cut, isBigger) : cut).data;
  return createImage(
    width,
    height,
    3,
    Uint8Array.from({ length: 3 * width * height }, (_, i) => lines[Math.floor(i / 3)] as number),
  );
}

/** The map at a size, by what it shows. */
function resizeMap(image: Image<3>, size: Sides): Image<3> {
  const { width, height } = size;
  if (width === image.width && height === image.height) return image;
  const colours = countColours(image);
  const isBinary = colours === 2 && isBlackAndWhite(image);
  const resized = resizeBytes(image, width, height, filterFor(image, size, colours));
  if (!isBinary) return resized;
  return binaryAgain(resized, hasThinEdges(image), width * height > image.width * image.height);
}

/** A picture with its mask as fourth channel, in floats; the mask is cut at the half. */
function resizeMasked(image: FloatImage, size: Sides): FloatImage {
  const { width, height } = size;
  if (width === image.width && height === image.height) return image;
  const resized = resizeOpencv(image, width, height, filterFor(image, size, countColours(image)));
  const data = resized.data.map((value, i) => (i % 4 === 3 ? (value > 127 ? 255 : 0) : value));
  return floatImage(width, height, 4, data);
}

/** The median of each channel on the picture's border. A mask's is 255: what is added is to be painted. */
function borderColour({ width, height, channels, data }: FloatImage | Image, whole: boolean): number[] {
  const places: number[] = [];
  for (const y of [0, height - 1]) for (let x = 0; x < width; x++) places.push(y * width + x);
  for (const x of [0, width - 1]) for (let y = 0; y < height; y++) places.push(y * width + x);
  return Array.from({ length: channels }, (_, c) => {
    if (c === 3) return 255;
    const sorted = places.map((at) => data[at * channels + c] as number).sort((a, b) => a - b);
    const middle = sorted.length / 2;
    const median =
      ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle) - (sorted.length % 2 ? 0 : 1)] as number)) /
      2;
    return whole ? Math.trunc(median) : median;
  });
}

interface Samples<D extends Uint8Array | Float32Array> extends Sides {
  readonly channels: number;
  readonly data: D;
}

/** Copies `from` into `into` with its top left corner at (left, top); what does not fit is cut off. */
function copyInto<D extends Uint8Array | Float32Array>(
  into: Samples<D>,
  from: Samples<D>,
  left: number,
  top: number,
): void {
  const { channels } = into;
  for (let y = Math.max(0, top); y < Math.min(into.height, top + from.height); y++)
    for (let x = Math.max(0, left); x < Math.min(into.width, left + from.width); x++)
      for (let c = 0; c < channels; c++)
        into.data[(y * into.width + x) * channels + c] = from.data[
          ((y - top) * from.width + (x - left)) * channels + c
        ] as number;
}

function fitted<D extends Uint8Array | Float32Array, S extends Samples<D>>(
  image: S,
  { width, height }: Sides,
  mode: ResizeMode,
  resize: (image: S, size: Sides) => S,
  empty: (size: Sides) => S,
): S {
  if (mode === 'stretch') return resize(image, { width, height });
  const ratios = [height / image.height, width / image.width];
  const k = mode === 'crop' ? Math.max(...ratios) : Math.min(...ratios);
  const side = (length: number): number => Math.max(1, roundHalfToEven(length * k));
  const resized = resize(image, { width: side(image.width), height: side(image.height) });
  const out = empty({ width, height });
  const half = (free: number): number => Math.max(0, Math.floor(free / 2));
  if (mode === 'crop') copyInto<D>(out, resized, -half(resized.width - width), -half(resized.height - height));
  else {
    const colour = borderColour(image as Image, image.data instanceof Uint8Array);
    for (let i = 0; i < out.data.length; i++) out.data[i] = colour[i % out.channels] as number;
    copyInto<D>(out, resized, half(width - resized.width), half(height - resized.height));
  }
  return out;
}

/** A map of 8 bits at `size`. */
export function fitMap(image: Image<3>, size: Sides, mode: ResizeMode): Image<3> {
  return fitted<Uint8Array, Image<3>>(image, size, mode, resizeMap, ({ width, height }) =>
    createImage(width, height, 3),
  );
}

/** A picture of four channels, 0 to 255, the last a mask: 255 is to be painted. */
export function fitMaskedMap(image: FloatImage, size: Sides, mode: ResizeMode): FloatImage {
  return fitted<Float32Array, FloatImage>(image, size, mode, resizeMasked, ({ width, height }) =>
    floatImage(width, height, 4),
  );
}

/** The resolution at which a preprocessor's map fits the result (`pixel_perfect_resolution`). */
export function pixelPerfectResolution(image: Sides, { width, height }: Sides, mode: ResizeMode): number {
  const ratios = [height / image.height, width / image.width];
  const k = mode === 'fill' ? Math.min(...ratios) : Math.max(...ratios);
  return roundHalfToEven(k * Math.min(image.width, image.height));
}

/** Sides cut to multiples of 8 (`get_target_dimensions`). */
export const wholeLatents = (side: number): number => Math.floor(side / 8) * 8;
