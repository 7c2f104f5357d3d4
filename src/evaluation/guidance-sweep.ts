/**
 * The measurement behind the model cards' plot: pictures of the same captions and seeds at each guidance scale, their FID to real pictures
 * and their CLIP score to the captions.
 */

import type { Image } from '../image/image.ts';
import type { GenerateOptions } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import { textToImage } from '../pipelines/text-to-image.ts';
import { clipScore } from './clip-score.ts';
import { type FeaturesNetwork, joinFeatures, type PictureFeatures } from './features.ts';
import { frechetDistance } from './frechet-distance.ts';
import { type GuidancePoint, guidanceScales } from './guidance-curve.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface SweepOptions {
  readonly model: Model;
  /** One picture each. */
  readonly captions: readonly string[];
  readonly real: PictureFeatures;
  readonly features: FeaturesNetwork;
  /** A CLIP; may be the same network. */
  readonly clip: FeaturesNetwork;
  /** Default: the scales of CompVis's model cards, 1.5 to 8. */
  readonly scales?: readonly number[];
  readonly generate?: Pick<GenerateOptions, 'steps' | 'sampler'> & { readonly seed?: number | undefined };
  /** Number of pictures to keep for each scale. Default 32. */
  readonly shown?: number;
  /** Pictures made at once; the seed of a batch is the first plus its place. Default 8. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

export type SweepEvent =
  | { readonly kind: 'pictures'; readonly scale: number; readonly done: number; readonly total: number }
  | { readonly kind: 'point'; readonly point: GuidancePoint; readonly images: readonly Image[] };

/** Pictures of captions, in their order. */
async function* generated(options: SweepOptions, scale: number): AsyncGenerator<readonly Image[], void, void> {
  const { model, captions, batchSize = 8, signal, generate = {} } = options;
  for (let i = 0; i < captions.length; i += batchSize) {
    const prompt = captions.slice(i, i + batchSize);
    const settings = { ...generate, seed: (generate.seed ?? 42) + i / batchSize };
    for await (const event of textToImage(model, {
      ...settings,
      prompt,
      guidanceScale: scale,
      watermark: false,
      safety: false,
      ...(signal ? { signal } : {}),
    })) {
      if (event.kind === 'result') yield event.images.map(({ image }) => image);
    }
  }
}

/** Runs scale by scale. Throws `invalid-argument` if `clip` has no text encoder, and the errors of generation. */
export async function* guidanceSweep(options: SweepOptions): AsyncGenerator<SweepEvent, void, void> {
  const { captions, features, clip, real, scales = guidanceScales, shown = 32, signal } = options;
  if (!clip.texts)
    throw new StableDiffusionError(
      'invalid-argument',
      'The CLIP score needs a CLIP with both halves and their projections.',
    );
  const texts: Tensor = await clip.texts(captions, signal);
  for (const scale of scales) {
    const images: Image[] = [];
    const [made, embedded]: [PictureFeatures[], PictureFeatures[]] = [[], []];
    let done = 0;
    for await (const some of generated(options, scale)) {
      made.push(await features.pictures(some, signal));
      if (clip !== features) embedded.push(await clip.pictures(some, signal));
      images.push(...some.slice(0, shown - images.length));
      done += some.length;
      yield { kind: 'pictures', scale, done, total: captions.length };
    }
    const all = joinFeatures(made).features;
    const embeds = clip === features ? all : joinFeatures(embedded).features;
    yield {
      kind: 'point',
      point: { scale, fid: frechetDistance(real.features, all), clipScore: clipScore(embeds, texts).mean },
      images,
    };
  }
}
