/** Edges (Canny 1986, "A Computational Approach to Edge Detection") as OpenCV 4.11's `cv2.Canny` with a 3x3 Sobel operator and L1 magnitudes. */

import { createImage, type Image } from '../image.ts';

/** Derivatives of the channel with the largest magnitude, [height * width], and that magnitude within a border of zeros, [height + 2, width + 2]. */
interface Gradients {
  readonly dx: Int16Array;
  readonly dy: Int16Array;
  readonly magnitude: Int32Array;
}

function gradients({ width, height, channels, data }: Image): Gradients {
  const dx = new Int16Array(width * height);
  const dy = new Int16Array(width * height);
  const magnitude = new Int32Array((width + 2) * (height + 2));
  for (let y = 0; y < height; y++) {
    const rows = [Math.max(0, y - 1), y, Math.min(height - 1, y + 1)].map((row) => row * width) as [
      number,
      number,
      number,
    ];
    for (let x = 0; x < width; x++) {
      const [left, right] = [Math.max(0, x - 1), Math.min(width - 1, x + 1)];
      let best = -1;
      for (let c = 0; c < channels; c++) {
        const at = (row: number, column: number): number => data[(row + column) * channels + c] as number;
        const [above, here, below] = rows;
        const [a, b] = [at(above, right) - at(below, left), at(above, left) - at(below, right)];
        const gx = a - b + 2 * (at(here, right) - at(here, left));
        const gy = -a - b + 2 * (at(below, x) - at(above, x));
        const size = Math.abs(gx) + Math.abs(gy);
        if (size <= best) continue;
        best = size;
        dx[y * width + x] = gx;
        dy[y * width + x] = gy;
      }
      magnitude[(y + 1) * (width + 2) + x + 1] = best;
    }
  }
  return { dx, dy, magnitude };
}

/** tan(22.5°) in 15 bits. */
const slope = 13573;

/** Whether the magnitude at `at` is the largest across the edge. `line` is the length of a row. */
function isRidge(magnitude: Int32Array, at: number, line: number, gx: number, gy: number): boolean {
  const here = magnitude[at] as number;
  const [x, y] = [Math.abs(gx) * slope, Math.abs(gy) * 2 ** 15];
  const beyond = (step: number): number => magnitude[at + step] as number;
  if (y < x) return here > beyond(-1) && here >= beyond(1);
  if (y > x + Math.abs(gx) * 2 ** 16) return here > beyond(-line) && here >= beyond(line);
  const side = gx < 0 !== gy < 0 ? -1 : 1;
  return here > beyond(-line - side) && here > beyond(line + side);
}

/**
 * White edges on black. Ridges above `high` are edges, and those above `low` that touch one; the thresholds are exchanged where they stand
 * the other way round. Of a colour picture each pixel counts by its strongest channel.
 */
export function canny(image: Image, low: number, high: number): Image<1> {
  const { width, height } = image;
  const [least, sure] = [Math.floor(Math.min(low, high)), Math.floor(Math.max(low, high))];
  const { dx, dy, magnitude } = gradients(image);
  const line = width + 2;
  const weak = new Uint8Array(magnitude.length);
  const waiting: number[] = [];
  const out = createImage(width, height, 1);
  const mark = (at: number): void => {
    weak[at] = 0;
    out.data[(Math.floor(at / line) - 1) * width + (at % line) - 1] = 255;
    waiting.push(at);
  };
  const sureOnes: number[] = [];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = (y + 1) * line + x + 1;
      const size = magnitude[at] as number;
      const i = y * width + x;
      if (size <= least || !isRidge(magnitude, at, line, dx[i] as number, dy[i] as number)) continue;
      weak[at] = 1;
      if (size > sure) sureOnes.push(at);
    }
  for (const at of sureOnes) mark(at);
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop())
    for (const step of [-line - 1, -line, -line + 1, -1, 1, line - 1, line, line + 1])
      if (weak[at + step]) mark(at + step);
  return out;
}
