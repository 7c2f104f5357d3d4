/** Maps that networks draw: soft edges, line drawings, depth. Pictures come at the size that the network sees. */

import { float32, type Tensor } from '../tensor/tensor.ts';
import type { FloatImage } from '../image/float-image.ts';
import { createImage, type Image } from '../image/image.ts';
import { resizeBytes } from '../image/opencv/resize-bytes.ts';
import { resizeOpencv } from '../image/opencv/resize-floats.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import { depthMap } from './depth-maps.ts';
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

export const depthPicture = async (image: Image<3>, annotator: Annotator, signal?: AbortSignal): Promise<Image<1>> =>
  depthMap(await networkDepth(image, annotator, signal));
