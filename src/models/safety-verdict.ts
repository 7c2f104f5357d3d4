/** From the safety checker's cosines to its verdict, and blacking out (`StableDiffusionSafetyChecker.forward`), on plain tensors. */

import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';

export interface SafetyVerdict {
  /** Rounded to three digits, above 0 where a concept is found: [b, special concepts]. */
  readonly specialScores: Tensor<'float64'>;
  readonly conceptScores: Tensor<'float64'>;
  /** 1 where a concept was found. */
  readonly specialCare: Tensor<'uint8'>;
  readonly badConcepts: Tensor<'uint8'>;
  /** 1 for images with a bad concept: [b]. Special concepts alone do not count; they make the others trip earlier. */
  readonly hasNsfw: Tensor<'uint8'>;
}

/** Added to an image's later scores once a special concept is found. */
const specialAdjustment = Math.fround(0.01);

/** A float32 rounded to three digits as numpy does it: half to even after scaling, in float32. */
function roundScore(value: number): number {
  const scaled = Math.fround(Math.fround(value) * 1000);
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const whole = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
  return Math.fround(whole / 1000);
}

/** Judges images by the margins (cosine less threshold) of `traceSafetyChecker`: special [b, special concepts], concept [b, concepts]. */
export function judgeSafety(special: Tensor, concept: Tensor): SafetyVerdict {
  const [batch = 0, specials = 0] = special.shape;
  const [, concepts = 0] = concept.shape;
  const scores = (shape: readonly number[]): Tensor<'float64'> => ({
    dtype: 'float64',
    shape,
    data: new Float64Array(elementCount(shape)),
  });
  const flags = (shape: readonly number[]): Tensor<'uint8'> => ({
    dtype: 'uint8',
    shape,
    data: new Uint8Array(elementCount(shape)),
  });
  const verdict = {
    specialScores: scores([batch, specials]),
    conceptScores: scores([batch, concepts]),
    specialCare: flags([batch, specials]),
    badConcepts: flags([batch, concepts]),
    hasNsfw: flags([batch]),
  };
  for (let image = 0; image < batch; image++) {
    let adjustment = 0;
    const score = (margins: Tensor, at: number): number =>
      roundScore(Math.fround(Number(margins.data[at]) + adjustment));
    for (let i = image * specials; i < (image + 1) * specials; i++) {
      verdict.specialScores.data[i] = score(special, i);
      if ((verdict.specialScores.data[i] ?? 0) <= 0) continue;
      verdict.specialCare.data[i] = 1;
      adjustment = specialAdjustment;
    }
    for (let i = image * concepts; i < (image + 1) * concepts; i++) {
      verdict.conceptScores.data[i] = score(concept, i);
      if ((verdict.conceptScores.data[i] ?? 0) <= 0) continue;
      verdict.badConcepts.data[i] = 1;
      verdict.hasNsfw.data[image] = 1;
    }
  }
  return verdict;
}

/** DeepFloyd IF's rule: 1 where a head says more than a half, without a sigmoid, as diffusers has it. */
export function aboveThreshold({ shape, data }: Tensor): Tensor<'uint8'> {
  return { dtype: 'uint8', shape, data: Uint8Array.from(data as ArrayLike<number>, (score) => (score > 0.5 ? 1 : 0)) };
}

/** A copy of `images` [b, ...] with flagged ones set to 0. */
export function blackOut<D extends 'float32' | 'uint8'>(images: Tensor<D>, flagged: Tensor<'uint8'>): Tensor<D> {
  const [batch = 0] = images.shape;
  if (flagged.data.length !== batch) {
    throw new StableDiffusionError('shape-mismatch', `There are ${batch} images and ${flagged.data.length} verdicts.`);
  }
  const size = elementCount(images.shape.slice(1));
  const data = images.data.slice() as typeof images.data;
  for (let image = 0; image < batch; image++) if (flagged.data[image]) data.fill(0, image * size, (image + 1) * size);
  return { dtype: images.dtype, shape: images.shape, data };
}
