/** All measures between real and generated pictures that features allow: FID, KID, precision and recall, the inception score. */

import type { TorchGenerator } from '../random/torch-generator.ts';
import { drawSubsets, kernelDistanceOfSubsets } from './kernel-distance.ts';
import type { PictureFeatures } from './features.ts';
import { frechetDistance } from './frechet-distance.ts';
import { inceptionScore } from './inception-score.ts';
import { precisionRecall } from './precision-recall.ts';

export interface SetMeasures {
  readonly real: number;
  readonly generated: number;
  /** Elements of a picture's features. */
  readonly dimensions: number;
  readonly fid: number;
  /** Mean and deviation over subsets: 100 of 1000 pictures, or one of all pictures if there are fewer. */
  readonly kid: number;
  readonly kidDeviation: number;
  readonly precision: number;
  readonly recall: number;
  readonly density: number;
  readonly coverage: number;
  /** Inception score of the generated pictures, in 10 splits; only for classifiers. */
  readonly inceptionScore?: number;
  readonly inceptionScoreDeviation?: number;
}

/** At least 4 pictures on each side. The generator draws KID's subsets. */
export function measureSets(real: PictureFeatures, generated: PictureFeatures, generator: TorchGenerator): SetMeasures {
  const [a, b] = [real.features, generated.features];
  const [rows, columns = 0] = a.shape;
  const subsets = drawSubsets({ x: b.shape[0] ?? 0, y: rows ?? 0 }, generator);
  const kid = kernelDistanceOfSubsets(
    b,
    a,
    (rows ?? 0) <= 1000 && (b.shape[0] ?? 0) <= 1000 ? subsets.slice(0, 1) : subsets,
  );
  const classified = generated.logits && inceptionScore(generated.logits);
  return {
    real: rows ?? 0,
    generated: b.shape[0] ?? 0,
    dimensions: columns,
    fid: frechetDistance(a, b),
    kid: kid.mean,
    kidDeviation: kid.standardDeviation,
    ...precisionRecall(a, b),
    ...(classified ? { inceptionScore: classified.mean, inceptionScoreDeviation: classified.populationDeviation } : {}),
  };
}
