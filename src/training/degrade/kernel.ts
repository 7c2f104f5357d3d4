/** Blur kernels of BSRGAN (Zhang et al. 2021, arXiv:2103.14006; ldm/modules/image_degradation/bsrgan_light.py), in float64. */

import { StableDiffusionError } from '../../errors.ts';

export interface Kernel {
  /** It is square. */
  readonly size: number;
  /** Rows; `size * size` weights. */
  readonly weights: Float64Array;
}

function normalised(size: number, weights: Float64Array): Kernel {
  const sum = weights.reduce((total, value) => total + value, 0);
  return { size, weights: sum === 0 ? weights : weights.map((value) => value / sum) };
}

function fill(size: number, weight: (x: number, y: number) => number): Float64Array {
  if (!Number.isInteger(size) || size < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `A kernel's size is a whole number from 1, and ${size} was given.`,
    );
  return Float64Array.from({ length: size * size }, (_, i) => weight(i % size, Math.floor(i / size)));
}

/** MATLAB's `fspecial('gaussian')`: `sigma` in pixels; weights below the rounding of the largest are 0. */
export function gaussianKernel(size: number, sigma: number): Kernel {
  const centre = (size - 1) / 2;
  const weights = fill(size, (x, y) => Math.exp(-((x - centre) ** 2 + (y - centre) ** 2) / (2 * sigma * sigma)));
  const least = Number.EPSILON * Math.max(...weights);
  return normalised(
    size,
    weights.map((value) => (value < least ? 0 : value)),
  );
}

/** MATLAB's `fspecial('laplacian')`; `alpha` is put into [0, 1]. */
export function laplacianKernel(alpha: number): Kernel {
  const a = Math.min(Math.max(alpha, 0), 1);
  const corner = a / (a + 1);
  const side = (1 - a) / (a + 1);
  return { size: 3, weights: Float64Array.of(corner, side, corner, side, -4 / (a + 1), side, corner, side, corner) };
}

/**
 * `anisotropic_Gaussian`: the normal density of variance `l1` along the direction `theta` (radians) and `l2` across it, both above 0.
 */
export function anisotropicKernel(size: number, theta: number, l1: number, l2: number): Kernel {
  const [c, s] = [Math.cos(theta), Math.sin(theta)];
  const xx = c * c * l1 + s * s * l2;
  const xy = c * s * (l1 - l2);
  const yy = s * s * l1 + c * c * l2;
  const determinant = xx * yy - xy * xy;
  const centre = size / 2 - 0.5;
  return normalised(
    size,
    fill(size, (column, line) => {
      const x = column - centre;
      const y = line - centre;
      return Math.exp(-(yy * x * x - 2 * xy * x * y + xx * y * y) / (2 * determinant));
    }),
  );
}

/** `shift_pixel` and the division by the sum that follows it: moved by (factor - 1) / 2 pixels to the upper left, linearly between pixels, so that taking every factor-th pixel stays aligned. */
export function shiftedKernel(kernel: Kernel, factor: number): Kernel {
  const { size, weights } = kernel;
  const at = (x: number, y: number): number => weights[Math.min(y, size - 1) * size + Math.min(x, size - 1)] as number;
  const shift = (factor - 1) / 2;
  return normalised(
    size,
    fill(size, (column, line) => {
      const x = Math.min(column + shift, size - 1);
      const y = Math.min(line + shift, size - 1);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [fx, fy] = [x - left, y - top];
      return (
        (at(left, top) * (1 - fx) + at(left + 1, top) * fx) * (1 - fy) +
        (at(left, top + 1) * (1 - fx) + at(left + 1, top + 1) * fx) * fy
      );
    }),
  );
}

/** `analytic_kernel`: the kernel of downsampling by 4 that twice downsampling by 2 with `kernel` amounts to, without its outer edge; 3 size - 2 - 2 floor(size / 2) wide. */
export function analyticX4Kernel(kernel: Kernel): Kernel {
  const { size, weights } = kernel;
  const wide = 3 * size - 2;
  const sum = new Float64Array(wide * wide);
  for (let r = 0; r < size; r++) {
    for (let c = 0; c < size; c++) {
      const weight = weights[r * size + c] as number;
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          const to = (2 * r + y) * wide + 2 * c + x;
          sum[to] = (sum[to] as number) + weight * (weights[y * size + x] as number);
        }
      }
    }
  }
  const edge = Math.floor(size / 2);
  const inner = wide - 2 * edge;
  return normalised(
    inner,
    fill(inner, (x, y) => sum[(y + edge) * wide + x + edge] as number),
  );
}
