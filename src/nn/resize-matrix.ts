/**
 * Resizing of images of a known size as products with one matrix an axis: what the `resize` operation does not offer (adaptive averaging,
 * aligned corners, blur before downsampling).
 */

import { constant, matmul } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { float32 } from '../tensor/tensor.ts';

/** Weights of each input pixel (columns) in each output pixel (rows). */
export type ResizeMatrix = readonly (readonly number[])[];

function matrix(
  to: number,
  from: number,
  taps: (row: number) => Iterable<readonly [column: number, weight: number]>,
): ResizeMatrix {
  return Array.from({ length: to }, (_, row) => {
    const weights = new Array<number>(from).fill(0);
    for (const [column, weight] of taps(row)) weights[column] = (weights[column] ?? 0) + weight;
    return weights;
  });
}

/** Adaptive averaging (`adaptive_avg_pool2d`, mode `area`): each output pixel is the mean of the input pixels it touches. */
export function areaMatrix(from: number, to: number): ResizeMatrix {
  return matrix(to, from, (row) => {
    const start = Math.floor((row * from) / to);
    const end = Math.ceil(((row + 1) * from) / to);
    return Array.from({ length: end - start }, (_, i) => [start + i, 1 / (end - start)] as const);
  });
}

/** The pixel at the place where an output pixel begins (mode `nearest`). */
export function nearestMatrix(from: number, to: number): ResizeMatrix {
  const scale = Math.fround(from / to);
  return matrix(to, from, (row) => [[Math.min(from - 1, Math.floor(Math.fround(row * scale))), 1]]);
}

/** The pixel at the middle of an output pixel (mode `nearest-exact`). */
export function nearestExactMatrix(from: number, to: number): ResizeMatrix {
  const scale = Math.fround(from / to);
  return matrix(to, from, (row) => [[Math.min(from - 1, Math.floor(Math.fround((row + 0.5) * scale))), 1]]);
}

/** Keys 1981 with a = -0.75, as PyTorch; beyond the border its pixel repeats. `positionOf`: where an output pixel lies among the input's. */
function bicubic(from: number, to: number, positionOf: (row: number) => number): ResizeMatrix {
  const a = -0.75;
  const near = (x: number): number => ((a + 2) * x - (a + 3)) * x * x + 1;
  const far = (x: number): number => ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return matrix(to, from, (row) => {
    const position = positionOf(row);
    const base = Math.floor(position);
    const t = position - base;
    const weights = [far(t + 1), near(t), near(1 - t), far(2 - t)];
    return weights.map((weight, i) => [Math.min(Math.max(base - 1 + i, 0), from - 1), weight] as const);
  });
}

/** Bicubic interpolation with aligned corners. */
export function bicubicAlignedMatrix(from: number, to: number): ResizeMatrix {
  const scale = to === 1 ? 0 : Math.fround((from - 1) / (to - 1));
  return bicubic(from, to, (row) => Math.fround(scale * row)); // in float32, as PyTorch has it
}

/** Bicubic interpolation between the centres of pixels, without a blur before: `interpolate(mode='bicubic', align_corners=False)`. */
export function bicubicMatrix(from: number, to: number): ResizeMatrix {
  const scale = Math.fround(from / to);
  return bicubic(from, to, (row) => Math.fround(scale * Math.fround(row + 0.5) - 0.5));
}

/** The same by a given factor, which need not be that of the sizes: `interpolate(mode='bicubic', scale_factor=factor)`. */
export function bicubicFactorMatrix(from: number, to: number, factor: number): ResizeMatrix {
  const scale = Math.fround(1 / factor);
  return bicubic(from, to, (row) => Math.fround(scale * Math.fround(row + 0.5) - 0.5));
}

/** Bicubic interpolation (Keys 1981, a = -0.5) widened where it shrinks: `interpolate(mode='bicubic', antialias=True)`. */
export function bicubicDownMatrix(from: number, to: number): ResizeMatrix {
  const scale = from / to;
  const width = Math.max(scale, 1);
  const filter = (distance: number): number => {
    const x = Math.abs(distance);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  };
  return matrix(to, from, (row) => {
    const centre = scale * (row + 0.5);
    const first = Math.max(0, Math.trunc(centre - 2 * width + 0.5));
    const end = Math.min(from, Math.trunc(centre + 2 * width + 0.5));
    const weights = Array.from({ length: end - first }, (_, i) => filter((first + i - centre + 0.5) / width));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight, i) => [first + i, weight / sum] as const);
  });
}

/** Gaussian blur of kornia's `resize(antialias=True)`: sigma (factor - 1) / 2 for downsampling by `factor`, borders reflected. */
export function antialiasMatrix(from: number, factor: number): ResizeMatrix {
  const sigma = Math.max((factor - 1) / 2, 0.001);
  const width = Math.trunc(Math.max(4 * sigma, 3)) | 1;
  const kernel = Array.from({ length: width }, (_, i) => Math.exp(-((i - (width >> 1)) ** 2) / (2 * sigma * sigma)));
  const total = kernel.reduce((sum, weight) => sum + weight, 0);
  const reflect = (i: number): number => (i < 0 ? -i : i >= from ? 2 * (from - 1) - i : i);
  return matrix(from, from, (row) =>
    kernel.map((weight, i) => [reflect(row + i - (width >> 1)), weight / total] as const),
  );
}

/** second · first: resizing by `first`, then by `second`. */
export function composeMatrices(second: ResizeMatrix, first: ResizeMatrix): ResizeMatrix {
  const columns = first[0]?.length ?? 0;
  return second.map((row) => {
    const result = new Array<number>(columns).fill(0);
    for (const [k, weight] of row.entries()) {
      if (weight !== 0)
        for (let column = 0; column < columns; column++)
          result[column] = (result[column] ?? 0) + weight * (first[k]?.[column] ?? 0);
    }
    return result;
  });
}

/** x [b, c, h, w] with rows [h', h] and columns [w', w] → [b, c, h', w']. */
export function resizeBy(x: Sym, rows: ResizeMatrix, columns: ResizeMatrix): Sym {
  const tensor = (values: ResizeMatrix): Sym =>
    constant(x, float32([values.length, values[0]?.length ?? 0], values.flat()));
  return matmul(tensor(rows), matmul(x, tensor(columns), { transposeB: true }));
}

/** Bilinear interpolation with aligned corners. */
export function bilinearAlignedMatrix(from: number, to: number): ResizeMatrix {
  const scale = to === 1 ? 0 : Math.fround((from - 1) / (to - 1));
  return matrix(to, from, (row) => {
    const position = Math.fround(scale * row); // in float32, as PyTorch has it
    const base = Math.min(Math.floor(position), from - 1);
    const t = position - base;
    return [
      [base, 1 - t],
      [Math.min(base + 1, from - 1), t],
    ];
  });
}

/** Bilinear interpolation of pixel centres at halves, edges repeated. */
export function bilinearMatrix(from: number, to: number): ResizeMatrix {
  const scale = from / to;
  return matrix(to, from, (row) => {
    const position = Math.max(0, scale * (row + 0.5) - 0.5);
    const base = Math.min(Math.floor(position), from - 1);
    const t = position - base;
    return [
      [base, 1 - t],
      [Math.min(base + 1, from - 1), t],
    ];
  });
}
