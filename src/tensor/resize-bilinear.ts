/**
 * Bilinear resizing of tensors [n, c, h, w] as `torch.nn.functional.interpolate(mode="bilinear")`, without smoothing: half-pixel centres, or the
 * corners of both pictures on each other.
 */

import type { Tensor } from './tensor.ts';

interface Weights {
  readonly low: number;
  readonly high: number;
  /** Of `high`. */
  readonly share: number;
}

function weightsOf(from: number, to: number, alignCorners: boolean): Weights[] {
  const scale = alignCorners ? Math.fround(to > 1 ? (from - 1) / (to - 1) : 0) : Math.fround(from / to);
  return Array.from({ length: to }, (_, i) => {
    const at = alignCorners ? Math.fround(scale * i) : Math.max(0, Math.fround(scale * (i + 0.5) - 0.5));
    const low = Math.min(Math.floor(at), from - 1);
    return { low, high: Math.min(low + 1, from - 1), share: Math.fround(at - low) };
  });
}

export function resizeBilinear(
  x: Tensor<'float32'>,
  height: number,
  width: number,
  { alignCorners = false }: { readonly alignCorners?: boolean } = {},
): Tensor<'float32'> {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  const [rows, columns] = [weightsOf(h, height, alignCorners), weightsOf(w, width, alignCorners)];
  const data = new Float32Array(n * c * height * width);
  let to = 0;
  for (let plane = 0; plane < n * c; plane++) {
    const base = plane * h * w;
    for (const row of rows) {
      const [top, bottom] = [base + row.low * w, base + row.high * w];
      for (const column of columns) {
        const at = (line: number): number =>
          (1 - column.share) * (x.data[line + column.low] as number) +
          column.share * (x.data[line + column.high] as number);
        data[to++] = (1 - row.share) * at(top) + row.share * at(bottom);
      }
    }
  }
  return { dtype: 'float32', shape: [n, c, height, width], data };
}
