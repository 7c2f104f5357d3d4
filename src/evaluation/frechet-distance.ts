/**
 * FID: the Fréchet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, arXiv:1706.08500),
 * |mu1 - mu2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), with covariances divided by n - 1 as in pytorch-fid and clean-fid.
 *
 * The last trace is computed from (S1^(1/2) S2 S1^(1/2))^(1/2), a symmetric matrix with the same eigenvalues, so no complex numbers arise
 * and no epsilon is added to a singular covariance. Where covariances are singular, rounding adds some 10^-6 of the distance, as it does in
 * every implementation; the order of the steps is the references', so that it is the same 10^-6.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { comparable, featureMatrix, type Matrix } from './matrix.ts';
import { symmetricEigen, symmetricEigenvalues } from './symmetric-eigen.ts';

export interface FeatureStatistics {
  readonly count: number;
  /** d numbers. */
  readonly mean: Float64Array;
  /** d x d, divided by n - 1. */
  readonly covariance: Matrix;
}

/** Mean and covariance of features [n, d], n from 2. */
export function featureStatistics(features: Tensor | Matrix): FeatureStatistics {
  const x = featureMatrix(features);
  const { rows: n, columns: d } = x;
  if (n < 2)
    throw new StableDiffusionError('invalid-argument', `A covariance needs at least 2 pictures, and ${n} were given.`);
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) for (let j = 0; j < d; j++) mean[j] = (mean[j] as number) + (x.data[i * d + j] as number);
  for (let j = 0; j < d; j++) mean[j] = (mean[j] as number) / n;
  const sum = new Float64Array(d * d);
  const centred = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < d; j++) centred[j] = (x.data[i * d + j] as number) - (mean[j] as number);
    addOuter(sum, centred);
  }
  mirror(sum, d);
  for (let j = 0; j < sum.length; j++) sum[j] = (sum[j] as number) / (n - 1);
  return { count: n, mean, covariance: { rows: d, columns: d, data: sum } };
}

/** FID of two sets of features [n, d] and [m, d], or of stored statistics. At least 0, up to rounding. */
export function frechetDistance(
  a: Tensor | Matrix | FeatureStatistics,
  b: Tensor | Matrix | FeatureStatistics,
): number {
  const p = 'covariance' in a ? a : featureStatistics(a);
  const q = 'covariance' in b ? b : featureStatistics(b);
  comparable(p.covariance, q.covariance, 0);
  const d = p.mean.length;
  let distance = 0;
  for (let i = 0; i < d; i++) {
    distance +=
      ((p.mean[i] as number) - (q.mean[i] as number)) ** 2 +
      (p.covariance.data[i * d + i] as number) +
      (q.covariance.data[i * d + i] as number);
  }
  return distance - 2 * traceOfRoot(p.covariance, q.covariance);
}

/** tr (S1 S2)^(1/2) of two covariances. */
function traceOfRoot(first: Matrix, second: Matrix): number {
  const root = symmetricRoot(first);
  let trace = 0;
  for (const value of symmetricEigenvalues(product(root, product(second, root))))
    if (value > 0) trace += Math.sqrt(value);
  return trace;
}

/** The symmetric, positive root V D^(1/2) V^T; eigenvalues below 0, which a covariance has by rounding only, count as 0. */
function symmetricRoot(covariance: Matrix): Matrix {
  const { values, vectors } = symmetricEigen(covariance);
  const scaled = vectors.data.slice();
  for (let i = 0; i < vectors.rows; i++) {
    const size = Math.max(values[i] as number, 0) ** 0.25;
    for (let j = 0; j < vectors.columns; j++)
      scaled[i * vectors.columns + j] = (scaled[i * vectors.columns + j] as number) * size;
  }
  return gram({ ...vectors, data: scaled });
}

/** X^T X. */
function gram({ rows, columns: d, data }: Matrix): Matrix {
  const out = new Float64Array(d * d);
  for (let i = 0; i < rows; i++) addOuter(out, data.subarray(i * d, (i + 1) * d));
  mirror(out, d);
  return { rows: d, columns: d, data: out };
}

/** Adds x x^T to the lower triangle of `sum`. */
function addOuter(sum: Float64Array, x: Float64Array): void {
  const d = x.length;
  for (let j = 0; j < d; j++) {
    const value = x[j] as number;
    if (value === 0) continue;
    const at = j * d;
    for (let k = 0; k <= j; k++) sum[at + k] = (sum[at + k] as number) + value * (x[k] as number);
  }
}

function mirror(lower: Float64Array, d: number): void {
  for (let j = 0; j < d; j++) for (let k = 0; k < j; k++) lower[k * d + j] = lower[j * d + k] as number;
}

function product(a: Matrix, b: Matrix): Matrix {
  const { columns } = b;
  const data = new Float64Array(a.rows * columns);
  for (let i = 0; i < a.rows; i++) {
    const out = data.subarray(i * columns, (i + 1) * columns);
    for (let k = 0; k < a.columns; k++) {
      const value = a.data[i * a.columns + k] as number;
      const at = k * columns;
      if (value !== 0)
        for (let j = 0; j < columns; j++) out[j] = (out[j] as number) + value * (b.data[at + j] as number);
    }
  }
  return { rows: a.rows, columns, data };
}
