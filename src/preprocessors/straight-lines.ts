/** Straight lines from M-LSD's map (Gu et al. 2022): the strongest centres with the displacements to their ends. */

import { float32, type Tensor } from '../tensor/tensor.ts';
import { createImage, type Image } from '../image/image.ts';
import { drawLine } from '../image/opencv/draw.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import { planes } from './network-maps.ts';

export interface LineCentre {
  readonly x: number;
  readonly y: number;
  readonly score: number;
}

/** Start and end in pixels of the picture. */
export type LineEnds = readonly [x1: number, y1: number, x2: number, y2: number];

const fround = Math.fround;
const sigmoid = (value: number): number => fround(1 / (1 + Math.exp(-value)));

/** The `most` strongest centres of a map [1, 9, h, w], each the largest of its 3x3 field; of others the score is 0. */
export function lineCentres({ shape, data }: Tensor<'float32'>, most = 200): LineCentre[] {
  const [, , height = 1, width = 1] = shape;
  const heat = Float32Array.from({ length: height * width }, (_, i) => sigmoid(data[i] as number));
  const isPeak = (x: number, y: number, own: number): boolean => {
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++)
      for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++)
        if ((heat[row * width + column] as number) > own) return false;
    return true;
  };
  const centres = Array.from(heat, (own, i): LineCentre => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return { x, y, score: isPeak(x, y, own) ? own : 0 };
  });
  return centres.sort((a, b) => b.score - a.score).slice(0, most);
}

/** Lines whose centre's score and whose length lie above the thresholds; pixels of the picture, twice those of the map. */
export function linesOf(map: Tensor<'float32'>, score: number, distance: number): LineEnds[] {
  const [, , height = 1, width = 1] = map.shape;
  const plane = height * width;
  return lineCentres(map).flatMap((centre) => {
    const at = centre.y * width + centre.x;
    const [sx, sy, ex, ey] = [1, 2, 3, 4].map((c) => map.data[c * plane + at] as number) as [
      number,
      number,
      number,
      number,
    ];
    const length = fround(Math.sqrt(fround(fround(fround(sx - ex) ** 2) + fround(fround(sy - ey) ** 2))));
    if (!(centre.score > score && length > distance)) return [];
    return [[2 * (centre.x + sx), 2 * (centre.y + sy), 2 * (centre.x + ex), 2 * (centre.y + ey)] as const];
  });
}

/** White lines on black. */
export function drawLines(lines: readonly LineEnds[], width: number, height: number): Image<3> {
  const out = createImage(width, height, 3);
  for (const line of lines) {
    const [x1, y1, x2, y2] = line.map(Math.trunc) as unknown as LineEnds;
    drawLine(out, { x: x1, y: y1 }, { x: x2, y: y2 }, [255, 255, 255]);
  }
  return out;
}

/** The network's map of a picture: RGB and a channel of ones. */
export async function lineMap(image: Image<3>, annotator: Annotator, signal?: AbortSignal): Promise<Tensor<'float32'>> {
  const value = (sample: number): number => fround(sample / 127.5) - 1;
  const colours = planes(image, value);
  const size = image.width * image.height;
  const data = new Float32Array(4 * size).fill(value(1));
  data.set(colours.data);
  const { tpMap } = await annotator.run(float32([1, 4, image.height, image.width], data), signal);
  return tpMap as Tensor<'float32'>;
}
