/** Matrices in float64, row by row: what statistics of features are computed in. */

import { StableDiffusionError } from '../errors.ts';
import { convert } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Row-major, `rows * columns` numbers. */
  readonly data: Float64Array;
}

/** Row `i`, as a view. */
export function row(matrix: Matrix, i: number): Float64Array {
  return matrix.data.subarray(i * matrix.columns, (i + 1) * matrix.columns);
}

/**
 * The float64 matrix of a tensor [n, d] of any numeric type: one row a picture, one column a feature. Throws `shape-mismatch` for other
 * numbers of dimensions, `not-finite` where a value is NaN or infinite, because every measure would be.
 */
export function featureMatrix(features: Tensor | Matrix, what = 'features'): Matrix {
  if ('rows' in features) return features;
  const [rows = 0, columns = 0] = features.shape;
  if (features.shape.length !== 2) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `The ${what} should be a matrix [pictures, features], and have the shape [${features.shape.join(', ')}].`,
    );
  }
  const { data } = convert(features, 'float64');
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new StableDiffusionError(
      'not-finite',
      `The ${what} hold ${data[bad]} in row ${Math.floor(bad / columns)}. Find the picture or the network that made it.`,
    );
  return { rows, columns, data };
}

/** Throws `shape-mismatch` unless both sets of features have the same number of columns, `invalid-argument` where one has fewer than `least` rows. */
export function comparable(a: Matrix, b: Matrix, least: number): void {
  if (a.columns !== b.columns)
    throw new StableDiffusionError(
      'shape-mismatch',
      `Features of ${a.columns} and of ${b.columns} dimensions cannot be compared: both sets must come from one network.`,
    );
  const fewest = Math.min(a.rows, b.rows);
  if (fewest < least)
    throw new StableDiffusionError(
      'invalid-argument',
      `This measure needs at least ${least} pictures on each side, and ${fewest} were given.`,
    );
}

/** The rows named, in that order. */
export function takeRows(matrix: Matrix, indices: ArrayLike<number>): Matrix {
  const { columns } = matrix;
  const data = new Float64Array(indices.length * columns);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i] as number;
    if (!(from >= 0 && from < matrix.rows))
      throw new StableDiffusionError('invalid-argument', `There is no row ${from} in a set of ${matrix.rows}.`);
    data.set(row(matrix, from), i * columns);
  }
  return { rows: indices.length, columns, data };
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}
