/**
 * Making lines thin: non-maximum suppression along four directions, and removal of patterns at the edge of a line (sd-webui-controlnet's
 * scripts/lvminthin.py and annotator/util.py). What lies outside a picture never counts.
 */

import type { FloatImage } from '../float-image.ts';
import { createImage, type Image } from '../image.ts';
import { blurFloats } from './gaussian-blur.ts';

const directions = [
  [1, 0],
  [0, 1],
  [1, 1],
  [1, -1],
] as const;

/** The largest of a pixel and its two neighbours in a direction is kept, else 0: values of one channel that are so in some direction. */
export function ridges<T extends Uint8Array | Float32Array>(values: T, width: number, height: number): T {
  const out = values.slice().fill(0) as T;
  for (let y = 0, i = 0; y < height; y++)
    for (let x = 0; x < width; x++, i++) {
      const here = values[i] as number;
      const below = (dx: number, dy: number): boolean => {
        const [column, row] = [x + dx, y + dy];
        if (column < 0 || row < 0 || column >= width || row >= height) return true;
        return (values[row * width + column] as number) <= here;
      };
      if (directions.some(([dx, dy]) => below(dx, dy) && below(-dx, -dy))) out[i] = here;
    }
  return out;
}

/** `nms`: the picture blurred, its ridges above a threshold white. */
export function suppressed({ width, height, data }: Image<1>, threshold: number, sigma: number): Image<1> {
  const floats: FloatImage = { width, height, channels: 1, data: Float32Array.from(data) };
  const kept = ridges(blurFloats(floats, sigma).data, width, height);
  return createImage(
    width,
    height,
    1,
    Uint8Array.from(kept, (value) => (value > threshold ? 255 : 0)),
  );
}

/** Rows of 3x3: 1 must be white, -1 black, 0 anything. */
type Pattern = readonly (readonly number[])[];

const edges: readonly Pattern[] = [
  [
    [-1, -1, -1],
    [0, 1, 0],
    [1, 1, 1],
  ],
  [
    [0, -1, -1],
    [1, 1, -1],
    [0, 1, 0],
  ],
];

const ends: readonly Pattern[] = [
  [
    [-1, -1, -1],
    [-1, 1, -1],
    [0, 0, -1],
  ],
  [
    [-1, -1, -1],
    [-1, 1, -1],
    [-1, 0, 0],
  ],
];

/** A quarter turn against the clock. */
const turned = (pattern: Pattern): Pattern => [2, 1, 0].map((column) => pattern.map((row) => row[column] as number));

/** Both patterns, then both turned by a quarter, by a half, by three quarters. */
function allTurns(pair: readonly Pattern[]): Pattern[] {
  const turns = [pair];
  for (let i = 1; i < 4; i++) turns.push((turns[i - 1] as readonly Pattern[]).map(turned));
  return turns.flat();
}

const edgeTurns = allTurns(edges);
const endTurns = allTurns(ends);

/** Blackens the middle of every place where the pattern lies; says whether there was one. */
function remove(data: Uint8Array, width: number, height: number, pattern: Pattern): boolean {
  const cells = pattern
    .flatMap((row, y) => row.map((want, x) => ({ dx: x - 1, dy: y - 1, want })))
    .filter(({ want }) => want !== 0);
  const fits = (x: number, y: number): boolean =>
    cells.every(({ dx, dy, want }) => {
      const [column, row] = [x + dx, y + dy];
      if (column < 0 || row < 0 || column >= width || row >= height) return true;
      const value = data[row * width + column] as number;
      return (want === 1 ? value : 255 - value) > 127;
    });
  const found: number[] = [];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (fits(x, y)) found.push(y * width + x);
  for (const at of found) data[at] = 0;
  return found.length > 0;
}

/** `lvmin_thin`: lines of a black and white picture made one pixel wide, at most 32 pixels from each side; `prune` takes off their ends once. */
export function thin({ width, height, data }: Image<1>, prune = true): Image<1> {
  const out = data.slice();
  for (let round = 0; round < 32; round++) {
    let changed = false;
    for (const pattern of edgeTurns) changed = remove(out, width, height, pattern) || changed;
    if (!changed) break;
  }
  if (prune) for (const pattern of endTurns) remove(out, width, height, pattern);
  return createImage(width, height, 1, out);
}
