/**
 * Inception score: exp of the mean Kullback–Leibler divergence of p(y|x) from p(y) (Salimans et al. 2016, arXiv:1606.03498), by splits in
 * the given order, cut as by torch.chunk: pieces of ceil(n / splits); the last may be shorter and some may be missing.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { featureMatrix, type Matrix } from './matrix.ts';

export interface InceptionScore {
  readonly mean: number;
  /** Divided by n - 1 (torchmetrics); NaN of a single split. */
  readonly standardDeviation: number;
  /** Divided by n (torch-fidelity, the original code). */
  readonly populationDeviation: number;
  readonly values: readonly number[];
}

/** Inception score of a classifier's logits [n, classes], between 1 and the number of classes. */
export function inceptionScore(logits: Tensor | Matrix, splits = 10): InceptionScore {
  const x = featureMatrix(logits, 'logits');
  if (!Number.isInteger(splits) || splits < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `The number of splits should be a whole number from 1, and is ${splits}.`,
    );
  if (x.rows < 1) throw new StableDiffusionError('invalid-argument', 'The inception score needs at least one picture.');
  const size = Math.ceil(x.rows / splits);
  const values: number[] = [];
  for (let start = 0; start < x.rows; start += size) values.push(scoreOf(x, start, Math.min(start + size, x.rows)));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    standardDeviation: Math.sqrt(squares / (values.length - 1)),
    populationDeviation: Math.sqrt(squares / values.length),
    values,
  };
}

function scoreOf({ columns, data }: Matrix, start: number, end: number): number {
  const count = end - start;
  const marginal = new Float64Array(columns);
  let negativeEntropy = 0; // sum over rows of p log p
  for (let i = start; i < end; i++) {
    const logits = data.subarray(i * columns, (i + 1) * columns);
    let largest = Number.NEGATIVE_INFINITY;
    for (const value of logits) largest = Math.max(largest, value);
    let total = 0;
    for (const value of logits) total += Math.exp(value - largest);
    const logTotal = largest + Math.log(total);
    for (let j = 0; j < columns; j++) {
      const logP = (logits[j] as number) - logTotal;
      const p = Math.exp(logP);
      negativeEntropy += p * logP;
      marginal[j] = (marginal[j] as number) + p / count;
    }
  }
  let crossEntropy = 0;
  for (const p of marginal) if (p > 0) crossEntropy += p * Math.log(p);
  return Math.exp(negativeEntropy / count - crossEntropy);
}
