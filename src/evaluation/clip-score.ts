/** CLIP score: 100 times the cosine between CLIP's embeddings of a picture and of its caption, not below 0 (Hessel et al. 2021, arXiv:2104.08718, with weight 100 as torchmetrics). */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { comparable, dot, featureMatrix, type Matrix, row } from './matrix.ts';

export interface ClipScore {
  /** One cosine a pair, -1 to 1; 0 where an embedding is zero. */
  readonly cosines: Float64Array;
  /** 100 max(cosine, 0), one a pair. */
  readonly scores: Float64Array;
  /** Mean of `scores`: the paper's. */
  readonly mean: number;
  /** The mean clamped instead of the scores: torchmetrics'. */
  readonly clampedMean: number;
}

/** CLIP score of image and text embeddings [n, d], pair by pair. */
export function clipScore(images: Tensor | Matrix, texts: Tensor | Matrix): ClipScore {
  const a = featureMatrix(images, 'image embeddings');
  const b = featureMatrix(texts, 'text embeddings');
  comparable(a, b, 1);
  if (a.rows !== b.rows)
    throw new StableDiffusionError(
      'shape-mismatch',
      `There are ${a.rows} image and ${b.rows} text embeddings, and they are compared pair by pair.`,
    );
  const cosines = Float64Array.from({ length: a.rows }, (_, i) => {
    const u = row(a, i);
    const v = row(b, i);
    const size = Math.sqrt(dot(u, u)) * Math.sqrt(dot(v, v));
    return size === 0 ? 0 : dot(u, v) / size;
  });
  const scores = cosines.map((cosine) => 100 * Math.max(cosine, 0));
  const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return { cosines, scores, mean: mean(scores), clampedMean: Math.max(100 * mean(cosines), 0) };
}
