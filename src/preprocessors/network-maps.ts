/** Maps that networks draw: soft edges, line drawings, depth. Pictures come at the size that the network sees. */

import { float32, type Tensor } from '../tensor/tensor.ts';
import type { FloatImage } from '../image/float-image.ts';
import { createImage, type Image } from '../image/image.ts';
import { resizeBytes, roundHalfToEven } from '../image/opencv/resize-bytes.ts';
import { resizeOpencv } from '../image/opencv/resize-floats.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import { depthMap } from './depth-maps.ts';
import { resizeBilinear } from '../tensor/resize-bilinear.ts';
import { safeStep } from './line-drawing.ts';

const fround = Math.fround;

/** float32 [1, 3, h, w] of the samples' values. */
export function planes({ width, height, data }: Image<3>, value: (sample: number) => number): Tensor<'float32'> {
  const size = width * height;
  const out = new Float32Array(3 * size);
  for (let i = 0; i < size; i++) for (let c = 0; c < 3; c++) out[c * size + i] = value(data[3 * i + c] as number);
  return float32([1, 3, height, width], out);
}

/** The first plane of [1, 1, h, w]. */
function planeOf({ shape, data }: Tensor<'float32'>): FloatImage {
  const [height = 1, width = 1] = shape.slice(-2);
  return { width, height, channels: 1, data: data as Float32Array };
}

/** [0, 1] to levels, cut to whole ones. */
const levelOf = (value: number): number => Math.trunc(Math.min(255, Math.max(0, value)));

/** HED's five side outputs averaged at full size. `safe` cuts the edges to three levels before they become levels of grey. */
export async function softEdges(
  image: Image<3>,
  annotator: Annotator,
  safe: boolean,
  signal?: AbortSignal,
): Promise<Image<1>> {
  const { width, height } = image;
  const outputs = await annotator.run(
    planes(image, (sample) => sample),
    signal,
  );
  const sides = [0, 1, 2, 3, 4].map((i) =>
    resizeOpencv(planeOf(outputs[`projection.${i}`] as Tensor<'float32'>), width, height, 'linear'),
  );
  const levels = Uint8Array.from({ length: width * height }, (_, i) => {
    const mean = fround(sides.reduce((sum, side) => fround(sum + (side.data[i] as number)), 0) / 5);
    const edge = 1 / (1 + Math.exp(-mean));
    return levelOf(safe ? fround(safeStep(edge) * 255) : edge * 255);
  });
  return createImage(width, height, 1, levels);
}

/** What of an edge in [0, 1] is drawn: all of it, three levels of it, or only whether it is more likely than not. */
export type EdgeLevels = 'all' | 'safe' | 'binary';

const edgeLevels: Readonly<Record<EdgeLevels, (edge: number) => number>> = {
  all: (edge) => edge,
  safe: (edge) => safeStep(edge),
  binary: (edge) => (edge > 0.5 ? 1 : 0),
};

/** PiDiNet's edges. The network sees blue first, as it was trained. */
export async function pixelDifferences(
  image: Image<3>,
  annotator: Annotator,
  levels: EdgeLevels,
  signal?: AbortSignal,
): Promise<Image<1>> {
  const { edge } = await annotator.run(
    planes(swapped(image), (sample) => sample / 255),
    signal,
  );
  const { width, height, data } = planeOf(edge as Tensor<'float32'>);
  const value = edgeLevels[levels];
  return createImage(
    width,
    height,
    1,
    Uint8Array.from(data, (one) => levelOf(fround(value(one) * 255))),
  );
}

/** Red and blue exchanged. */
function swapped({ width, height, data }: Image<3>): Image<3> {
  return createImage(
    width,
    height,
    3,
    data.map((_, i) => data[i + 2 - 2 * (i % 3)] as number),
  );
}

/** Dark lines on white, as the network draws them. */
export async function lineDrawing(image: Image<3>, annotator: Annotator, signal?: AbortSignal): Promise<Image<1>> {
  const { line } = await annotator.run(
    planes(image, (sample) => sample / 255),
    signal,
  );
  const { width, height, data } = planeOf(line as Tensor<'float32'>);
  return createImage(
    width,
    height,
    1,
    Uint8Array.from(data, (value) => levelOf(fround(value * 255))),
  );
}

/** The same of anime pictures: the network sees sides that are multiples of 256. */
export async function animeDrawing(image: Image<3>, annotator: Annotator, signal?: AbortSignal): Promise<Image<1>> {
  const up = (side: number): number => Math.ceil(side / 256) * 256;
  const grown = resizeBytes(image, up(image.width), up(image.height), 'cubic');
  const { line } = await annotator.run(
    planes(grown, (sample) => fround(sample / 127.5) - 1),
    signal,
  );
  const drawn = planeOf(line as Tensor<'float32'>);
  const levels = { ...drawn, data: drawn.data.map((value) => fround(value * 127.5) + 127.5) };
  const sized = resizeOpencv(levels, image.width, image.height, 'cubic');
  return createImage(image.width, image.height, 1, Uint8Array.from(sized.data, levelOf));
}

/** White on black from black on white, and back. */
export const inverted = (image: Image<1>): Image<1> => ({ ...image, data: image.data.map((value) => 255 - value) });

/** A network's depth at the picture's size; near is large. */
export async function networkDepth(
  image: Image<3>,
  annotator: Annotator,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const { depth } = await annotator.run(
    planes(image, (sample) => fround(sample / 127.5) - 1),
    signal,
  );
  return depth as Tensor<'float32'>;
}

/** Sides of at least 518 in the picture's proportions, to the nearest multiples of 14 (`Resize`, `lower_bound`). */
export function depthAnythingSize({ width, height }: Pick<Image, 'width' | 'height'>): {
  readonly width: number;
  readonly height: number;
} {
  const [least, unit] = [518, 14];
  const scale = Math.max(least / width, least / height);
  const side = (length: number): number => Math.max(least, roundHalfToEven((scale * length) / unit) * unit);
  return { width: side(width), height: side(height) };
}

const imageNet = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;

/** The depth of Depth Anything as grey: near is white. The network sees red and blue exchanged, as in sd-webui-controlnet. */
export async function depthAnythingPicture(
  image: Image<3>,
  annotator: Annotator,
  signal?: AbortSignal,
): Promise<Image<1>> {
  const size = depthAnythingSize(image);
  const { data } = swapped(image);
  const shares = {
    width: image.width,
    height: image.height,
    channels: 3 as const,
    data: Float32Array.from(data, (value) => value / 255),
  };
  const seen = resizeOpencv(shares, size.width, size.height, 'cubic');
  const plane = size.width * size.height;
  const x = Float32Array.from({ length: 3 * plane }, (_, i) => {
    const c = Math.floor(i / plane);
    return (
      ((seen.data[3 * (i % plane) + c] as number) - (imageNet.mean[c] as number)) / (imageNet.deviation[c] as number)
    );
  });
  const { depth } = await annotator.run(float32([1, 3, size.height, size.width], x), signal);
  const made = depth as Tensor<'float32'>;
  const sized = resizeBilinear(float32([1, 1, ...made.shape.slice(1)], made.data), image.height, image.width).data;
  const [lowest, highest] = [extreme(sized, Math.min), extreme(sized, Math.max)];
  const range = fround(highest - lowest);
  return createImage(
    image.width,
    image.height,
    1,
    Uint8Array.from(sized, (value) =>
      range === 0 ? 0 : levelOf(fround(fround(fround(value - lowest) / range) * 255)),
    ),
  );
}

const extreme = (values: Float32Array, pick: (a: number, b: number) => number): number =>
  values.reduce((a, b) => pick(a, b));

export const depthPicture = async (image: Image<3>, annotator: Annotator, signal?: AbortSignal): Promise<Image<1>> =>
  depthMap(await networkDepth(image, annotator, signal));
