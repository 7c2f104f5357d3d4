/** Bicubic resizing without antialiasing, as `torch.nn.functional.interpolate(mode='bicubic', align_corners=False)`: Keys' kernel with a = -0.75, edges repeated. */

import { type Tensor, tensor } from './tensor.ts';

const a = -0.75;
const near = (x: number): number => ((a + 2) * x - (a + 3)) * x * x + 1;
const far = (x: number): number => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;

interface Tap {
  readonly places: readonly number[];
  readonly weights: readonly number[];
}

function tapsOf(from: number, to: number): Tap[] {
  return Array.from({ length: to }, (_, i) => {
    const at = (i + 0.5) * (from / to) - 0.5;
    const first = Math.floor(at);
    const t = at - first;
    return {
      places: [-1, 0, 1, 2].map((step) => Math.min(Math.max(first + step, 0), from - 1)),
      weights: [far(t + 1), near(t), near(1 - t), far(2 - t)],
    };
  });
}

/** x [n, c, H, W] → [n, c, height, width]. */
export function resizeBicubic(x: Tensor<'float32'>, height: number, width: number): Tensor<'float32'> {
  const [n = 1, c = 1, rows = 1, columns = 1] = x.shape;
  const [vertical, horizontal] = [tapsOf(rows, height), tapsOf(columns, width)];
  const data = new Float32Array(n * c * height * width);
  let at = 0;
  for (let plane = 0; plane < n * c; plane++) {
    const start = plane * rows * columns;
    for (const v of vertical)
      for (const h of horizontal) {
        let sum = 0;
        for (const [i, y] of v.places.entries()) {
          let row = 0;
          for (const [j, column] of h.places.entries())
            row += (h.weights[j] as number) * (x.data[start + y * columns + column] as number);
          sum += (v.weights[i] as number) * row;
        }
        data[at++] = sum;
      }
  }
  return tensor('float32', [n, c, height, width], data);
}
