/**
 * Improved precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991): which pictures of one set lie in the union of the balls
 * around the other's, each as wide as the distance to its k-th neighbour. With density and coverage (Naeem et al. 2020, arXiv:2002.09797).
 */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { comparable, featureMatrix, type Matrix } from './matrix.ts';

export interface PrecisionRecall {
  /** Share of generated pictures that lie among the real ones, 0 to 1. */
  readonly precision: number;
  /** Share of real pictures that lie among the generated ones, 0 to 1. */
  readonly recall: number;
  /** Mean number of real balls around a generated picture, over k. May be above 1. */
  readonly density: number;
  /** Share of real pictures whose ball holds a generated one, 0 to 1. */
  readonly coverage: number;
}

/** Precision and recall from features of real [n, d] and generated [m, d] pictures, each with more than `k` rows. Distances are Euclidean, balls closed, and a picture is not its own neighbour. */
export function precisionRecall(real: Tensor | Matrix, generated: Tensor | Matrix, k = 3): PrecisionRecall {
  const a = featureMatrix(real);
  const b = featureMatrix(generated);
  if (!Number.isInteger(k) || k < 1)
    throw new StableDiffusionError('invalid-argument', `The neighbour k should be a whole number from 1, and is ${k}.`);
  comparable(a, b, k + 1);
  const realRadius = neighbourDistances(a, k);
  const generatedRadius = neighbourDistances(b, k);
  const inReal = new Uint32Array(b.rows);
  const covered = new Uint8Array(a.rows);
  const recalled = new Uint8Array(a.rows);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < b.rows; j++) {
      const distance = squaredDistance(a, i, b, j);
      if (distance <= (realRadius[i] as number)) {
        inReal[j] = (inReal[j] as number) + 1;
        covered[i] = 1;
      }
      if (distance <= (generatedRadius[j] as number)) recalled[i] = 1;
    }
  }
  const total = (counts: ArrayLike<number>): number => Array.from(counts).reduce((sum, value) => sum + value, 0);
  return {
    precision: inReal.filter((count) => count > 0).length / b.rows,
    recall: total(recalled) / a.rows,
    density: total(inReal) / (k * b.rows),
    coverage: total(covered) / a.rows,
  };
}

/** Squared distance of each row to its k-th nearest other row. */
function neighbourDistances(set: Matrix, k: number): Float64Array {
  const out = new Float64Array(set.rows);
  const distances = new Float64Array(set.rows - 1);
  for (let i = 0; i < set.rows; i++) {
    for (let j = 0, to = 0; j < set.rows; j++) if (j !== i) distances[to++] = squaredDistance(set, i, set, j);
    out[i] = distances.sort()[k - 1] as number;
  }
  return out;
}

function squaredDistance(a: Matrix, i: number, b: Matrix, j: number): number {
  const d = a.columns;
  let sum = 0;
  for (let c = 0, p = i * d, q = j * d; c < d; c++) sum += ((a.data[p + c] as number) - (b.data[q + c] as number)) ** 2;
  return sum;
}
