/**
 * Filters by a data set's metadata, as for Stable Diffusion's training sets: v1 used LAION-aesthetics 5+ (aesthetics
 * above 5, original size from 512, watermark below 0.5), v2 LAION-5B with `punsafe` below 0.1.
 */

import type { SampleMetadata } from './sample.ts';

export interface SampleFilter {
  /** The shorter side of the picture, pixels: of the original, where the metadata has it (LAION keeps it), else of the file. */
  readonly minimumSize?: number;
  /** The longer side over the shorter. */
  readonly maximumAspect?: number;
  /** Predicted rating, 0 to 10; kept above this, as in the model card of Stable Diffusion v1 (> 5.0). */
  readonly minimumAesthetics?: number;
  /** Predicted probability, 0 to 1; kept below this (< 0.5). */
  readonly maximumWatermark?: number;
  /** Predicted probability that it is unsafe, 0 to 1; kept below this. */
  readonly maximumUnsafe?: number;
  /** LAION's words to accept: `UNLIKELY`, `UNSURE`, `NSFW`. */
  readonly nsfw?: readonly string[];
  /** Cosine of picture and caption by CLIP. */
  readonly minimumSimilarity?: number;
  /** What to do with a sample whose metadata lacks a filtered field. Default `drop`. */
  readonly unknown?: 'drop' | 'keep';
}

const fields: Readonly<
  Record<'aesthetics' | 'watermark' | 'unsafe' | 'nsfw' | 'similarity' | 'width' | 'height', readonly string[]>
> = {
  aesthetics: ['AESTHETIC_SCORE', 'aesthetic', 'aesthetic_score', 'aesthetics_score', 'prediction'],
  watermark: ['pwatermark', 'watermark', 'watermark_score'],
  unsafe: ['punsafe', 'unsafe', 'nsfw_score'],
  nsfw: ['NSFW', 'nsfw'],
  similarity: ['similarity', 'clip_similarity', 'SIMILARITY'],
  width: ['original_width', 'WIDTH', 'width'],
  height: ['original_height', 'HEIGHT', 'height'],
};

function numberOf(metadata: SampleMetadata, names: readonly string[]): number | undefined {
  for (const name of names) {
    const value = metadata[name];
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    if (typeof number === 'number' && Number.isFinite(number)) return number;
  }
  return undefined;
}

/** A number of the metadata under the names that data sets give it. */
export function fieldNumber(field: keyof typeof fields, metadata: SampleMetadata): number | undefined {
  return numberOf(metadata, fields[field]);
}

/** Why the sample is left out, or undefined if it passes. `size`: of the file, where it is known already. */
export function rejection(
  filter: SampleFilter,
  metadata: SampleMetadata,
  size?: { readonly width: number; readonly height: number },
): string | undefined {
  const unknown = filter.unknown ?? 'drop';
  const compare = (
    what: keyof typeof fields,
    limit: number | undefined,
    passes: (value: number, limit: number) => boolean,
  ): string | undefined => {
    if (limit === undefined) return undefined;
    const value = numberOf(metadata, fields[what]);
    if (value === undefined) return unknown === 'drop' ? `its ${what} is not known` : undefined;
    return passes(value, limit) ? undefined : `its ${what} is ${value}, and the limit ${limit}`;
  };
  const [width, height] = [
    numberOf(metadata, fields.width) ?? size?.width,
    numberOf(metadata, fields.height) ?? size?.height,
  ];
  const sized = width !== undefined && height !== undefined;
  const [short, long] = sized ? [Math.min(width, height), Math.max(width, height)] : [0, 0];
  if (sized && filter.minimumSize !== undefined && short < filter.minimumSize)
    return `its size is ${width}x${height}, and the limit ${filter.minimumSize}`;
  if (sized && filter.maximumAspect !== undefined && long > short * filter.maximumAspect)
    return `its size is ${width}x${height}, and the aspect at most ${filter.maximumAspect}`;
  if (filter.nsfw) {
    const word = fields.nsfw.map((name) => metadata[name]).find((value) => typeof value === 'string');
    if (typeof word !== 'string' ? unknown === 'drop' : !filter.nsfw.includes(word))
      return typeof word === 'string' ? `it is marked ${word}` : 'its nsfw mark is not known';
  }
  return (
    compare('aesthetics', filter.minimumAesthetics, (value, limit) => value > limit) ??
    compare('watermark', filter.maximumWatermark, (value, limit) => value < limit) ??
    compare('unsafe', filter.maximumUnsafe, (value, limit) => value < limit) ??
    compare('similarity', filter.minimumSimilarity, (value, limit) => value >= limit)
  );
}
