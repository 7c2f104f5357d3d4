/**
 * Measures by guided-diffusion's arithmetic (`evaluations/evaluator.py`), for comparison with the numbers of its papers: the spatial FID, the inception
 * score by splits of rows, precision and recall with distances in float16 where these are finite.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { frechetDistance } from './frechet-distance.ts';
import { comparable, featureMatrix, type Matrix } from './matrix.ts';

/** The first `channels` of maps [n, h, w, c] as rows, [n, h · w · channels]: what sFID compares (7 of `mixed_6/conv` there). */
export function spatialFeatures(maps: Tensor, channels = 7): Matrix {
  const [rows = 0, height = 0, width = 0, all = 0] = maps.shape;
  if (maps.shape.length !== 4 || all < channels)
    throw new StableDiffusionError(
      'shape-mismatch',
      `Spatial features are [n, h, w, c] with ${channels} channels or more; [${maps.shape.join(', ')}] was given.`,
    );
  const columns = height * width * channels;
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < data.length; i++) data[i] = Number(maps.data[Math.floor(i / channels) * all + (i % channels)]);
  return { rows, columns, data };
}

export const spatialFrechetDistance = (a: Tensor, b: Tensor, channels = 7): number =>
  frechetDistance(spatialFeatures(a, channels), spatialFeatures(b, channels));

/** exp of the mean divergence of p(y|x) from p(y), over splits of `split` rows (the last may be shorter); the mean of the splits. `probabilities` [n, classes]. */
export function inceptionScoreBySplits(probabilities: Tensor | Matrix, split = 5000): number {
  const { rows, columns, data } = featureMatrix(probabilities, 'probabilities');
  const scores: number[] = [];
  for (let start = 0; start < rows; start += split) {
    const end = Math.min(start + split, rows);
    const marginal = new Float64Array(columns);
    for (let i = start; i < end; i++)
      for (let j = 0; j < columns; j++)
        marginal[j] = (marginal[j] as number) + (data[i * columns + j] as number) / (end - start);
    let divergence = 0;
    for (let i = start; i < end; i++)
      for (let j = 0; j < columns; j++) {
        const p = data[i * columns + j] as number;
        if (p > 0) divergence += p * (Math.log(p) - Math.log(marginal[j] as number));
      }
    scores.push(Math.exp(divergence / (end - start)));
  }
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** Rounds to the nearest float16, infinite beyond its range. */
export function roundToHalf(value: number): number {
  const size = Math.abs(value);
  if (size >= 65520) return value > 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  const exponent = Math.max(Math.floor(Math.log2(size || 1)), -14);
  const unit = 2 ** (exponent - 10);
  const scaled = value / unit;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  return (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor) * unit;
}

/** Squared distances of all rows: in float16, as |u|² - 2 u v + |v|², unless one of them is not finite there. */
function distancesOf(a: Matrix, b: Matrix): { readonly data: Float64Array; readonly type: 'float16' | 'float32' } {
  const exact = (round: (value: number) => number): Float64Array => {
    const [p, q] = [a, b].map(({ data }) => Float64Array.from(data, round)) as [Float64Array, Float64Array];
    const norms = (data: Float64Array, rows: number): number[] =>
      Array.from({ length: rows }, (_, i) => {
        let sum = 0;
        for (let c = 0; c < a.columns; c++) sum += (data[i * a.columns + c] as number) ** 2;
        return round(sum);
      });
    const [u, v] = [norms(p, a.rows), norms(q, b.rows)];
    return Float64Array.from({ length: a.rows * b.rows }, (_, at) => {
      const [i, j] = [Math.floor(at / b.rows), at % b.rows];
      let product = 0;
      for (let c = 0; c < a.columns; c++)
        product += (p[i * a.columns + c] as number) * (q[j * a.columns + c] as number);
      return Math.max(round(round((u[i] as number) - round(2 * round(product))) + (v[j] as number)), 0);
    });
  };
  const half = exact(roundToHalf);
  return half.every(Number.isFinite) ? { data: half, type: 'float16' } : { data: exact(Math.fround), type: 'float32' };
}

export interface AdmPrecisionRecall {
  /** Share of samples inside the ball of a reference picture. */
  readonly precision: number;
  /** Share of reference pictures inside the ball of a sample. */
  readonly recall: number;
  /** Squared radius of each reference picture's ball. */
  readonly radii: readonly number[];
  readonly distancesIn: 'float16' | 'float32';
}

/** Balls reach to the `k`-th neighbour, not counting the picture itself. */
export function admPrecisionRecall(reference: Tensor | Matrix, samples: Tensor | Matrix, k = 3): AdmPrecisionRecall {
  const [a, b] = [featureMatrix(reference), featureMatrix(samples)];
  comparable(a, b, k + 1);
  const radiiOf = (set: Matrix): number[] => {
    const { data } = distancesOf(set, set);
    return Array.from({ length: set.rows }, (_, i) => Number(data.slice(i * set.rows, (i + 1) * set.rows).sort()[k]));
  };
  const [ofReference, ofSamples] = [radiiOf(a), radiiOf(b)];
  const { data, type } = distancesOf(a, b);
  let inReference = 0;
  for (let j = 0; j < b.rows; j++)
    if (ofReference.some((radius, i) => (data[i * b.rows + j] as number) <= radius)) inReference++;
  let inSamples = 0;
  for (let i = 0; i < a.rows; i++)
    if (ofSamples.some((radius, j) => (data[i * b.rows + j] as number) <= radius)) inSamples++;
  return { precision: inReference / b.rows, recall: inSamples / a.rows, radii: ofReference, distancesIn: type };
}
