/** Resizing of tensors [n, c, h, w] as `torch.nn.functional.interpolate`: `nearest-exact`, `area`, `bicubic` (a = -0.75, not clamped). */

import type { Tensor } from './tensor.ts';

type Float32 = Tensor<'float32'>;

/** The input positions and weights of each output position along one axis. */
type Taps = readonly (readonly (readonly [position: number, weight: number])[])[];

const nearest = (from: number, to: number): Taps => {
  const scale = Math.fround(from / to);
  return Array.from({ length: to }, (_, i) => [[Math.min(from - 1, Math.floor(Math.fround((i + 0.5) * scale))), 1]]);
};

const area = (from: number, to: number): Taps =>
  Array.from({ length: to }, (_, i) => {
    const [start, end] = [Math.floor((i * from) / to), Math.ceil(((i + 1) * from) / to)];
    return Array.from({ length: end - start }, (_unused, k) => [start + k, 1 / (end - start)] as const);
  });

const bicubic = (from: number, to: number): Taps => {
  const scale = Math.fround(from / to);
  const a = -0.75;
  const inner = (x: number): number => ((a + 2) * x - (a + 3)) * x * x + 1;
  const outer = (x: number): number => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return Array.from({ length: to }, (_, i) => {
    const at = Math.fround(scale * (i + 0.5) - 0.5);
    const low = Math.floor(at);
    const t = Math.fround(at - low);
    const weights = [outer(t + 1), inner(t), inner(1 - t), outer(2 - t)];
    return weights.map((weight, k) => [Math.min(from - 1, Math.max(0, low - 1 + k)), Math.fround(weight)] as const);
  });
};

/** Each row of `length` numbers, `step` apart, through the taps. */
function along(
  data: Float32Array,
  taps: Taps,
  lines: number,
  shape: { readonly length: number; readonly step: number },
): Float32Array {
  const { length, step } = shape;
  const out = new Float32Array((data.length / length) * taps.length);
  for (let line = 0; line < lines; line++) {
    const [block, inside] = [Math.floor(line / step), line % step];
    for (const [i, own] of taps.entries()) {
      let sum = 0;
      for (const [position, weight] of own)
        sum += (data[(block * length + position) * step + inside] as number) * weight;
      out[(block * taps.length + i) * step + inside] = sum;
    }
  }
  return out;
}

const kinds = { 'nearest-exact': nearest, area, bicubic } as const;
export type TensorFilter = keyof typeof kinds;

export function resizeTensor(x: Float32, height: number, width: number, filter: TensorFilter): Float32 {
  const [n = 0, c = 0, h = 1, w = 1] = x.shape;
  const columns = along(x.data, kinds[filter](w, width), n * c * h, { length: w, step: 1 });
  const rows = along(columns, kinds[filter](h, height), n * c * width, { length: h, step: width });
  return { dtype: 'float32', shape: [n, c, height, width], data: rows };
}
