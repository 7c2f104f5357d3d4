/**
 * KID: the unbiased estimate of the squared maximum mean discrepancy under the kernel (gamma x·y + 1)^3, gamma 1/d
 * (Bińkowski et al. 2018, arXiv:1801.01401). Over all pictures, or averaged over subsets as torch-fidelity and clean-fid do.
 */

import type { TorchGenerator } from '../random/torch-generator.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { comparable, dot, featureMatrix, type Matrix, row, takeRows } from './matrix.ts';

export interface PolynomialKernel {
  /** Default 3. */
  readonly degree?: number;
  /** Default 1 / d. */
  readonly gamma?: number;
  /** Default 1. */
  readonly coef?: number;
}

/** Rows of the two sets used by one estimate. */
export interface SubsetPair {
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
}

export interface KernelDistance {
  readonly mean: number;
  /** Standard deviation of the subsets' values, divided by their number. */
  readonly standardDeviation: number;
  readonly values: readonly number[];
}

/** KID of features [n, d] and [m, d]; n and m at least 2. Unbiased, so it can be slightly negative. */
export function kernelDistance(x: Tensor | Matrix, y: Tensor | Matrix, kernel: PolynomialKernel = {}): number {
  const a = featureMatrix(x);
  const b = featureMatrix(y);
  comparable(a, b, 2);
  const { degree = 3, gamma = 1 / a.columns, coef = 1 } = kernel;
  const value = (u: Float64Array, v: Float64Array): number => (gamma * dot(u, v) + coef) ** degree;
  const within = (set: Matrix): number => {
    let sum = 0;
    for (let i = 0; i < set.rows; i++) for (let j = 0; j < i; j++) sum += value(row(set, i), row(set, j));
    return (2 * sum) / (set.rows * (set.rows - 1));
  };
  let cross = 0;
  for (let i = 0; i < a.rows; i++) for (let j = 0; j < b.rows; j++) cross += value(row(a, i), row(b, j));
  return within(a) + within(b) - (2 * cross) / (a.rows * b.rows);
}

/** KID over given subsets, such as those of `drawSubsets`. */
export function kernelDistanceOfSubsets(
  x: Tensor | Matrix,
  y: Tensor | Matrix,
  subsets: readonly SubsetPair[],
  kernel: PolynomialKernel = {},
): KernelDistance {
  const a = featureMatrix(x);
  const b = featureMatrix(y);
  const values = subsets.map((subset) => kernelDistance(takeRows(a, subset.x), takeRows(b, subset.y), kernel));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, standardDeviation: Math.sqrt(variance), values };
}

/** `count` pairs of subsets of `size` rows without repetition (fewer where a set is smaller); the field's habit is 100 of 1000. */
export function drawSubsets(
  rows: { readonly x: number; readonly y: number },
  generator: TorchGenerator,
  count = 100,
  size = 1000,
): SubsetPair[] {
  const length = Math.min(size, rows.x, rows.y);
  return Array.from({ length: count }, () => ({
    x: generator.randperm(rows.x).slice(0, length),
    y: generator.randperm(rows.y).slice(0, length),
  }));
}
