/**
 * The measurement behind the model cards' plot: pictures of the same captions and seeds at each guidance scale, their FID to real pictures
 * and their CLIP score to the captions.
 */

import { alone, type Communicator } from '../distributed/communicator.ts';
import { createImage, type Image } from '../image/image.ts';
import type { GenerateOptions } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import { textToImage } from '../pipelines/text-to-image.ts';
import { clipScore } from './clip-score.ts';
import { type FeaturesNetwork, joinFeatures, type PictureFeatures } from './features.ts';
import { frechetDistance } from './frechet-distance.ts';
import { gatherFeatures, gatherRows } from './gather-rows.ts';
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
  /** The processes that share the work. Default: this one alone. */
  readonly ranks?: Communicator;
  readonly signal?: AbortSignal;
}

export type SweepEvent =
  | { readonly kind: 'pictures'; readonly scale: number; readonly done: number; readonly total: number }
  | { readonly kind: 'point'; readonly point: GuidancePoint; readonly images: readonly Image[] };

interface Batch {
  readonly images: readonly Image[];
  /** Of the first picture. */
  readonly place: number;
}

/** Pictures of captions, in their order; of several ranks each makes every so-many-th batch. */
async function* generated(options: SweepOptions, scale: number): AsyncGenerator<Batch, void, void> {
  const { model, captions, batchSize = 8, signal, generate = {}, ranks = alone } = options;
  for (let place = ranks.rank * batchSize; place < captions.length; place += ranks.size * batchSize) {
    const prompt = captions.slice(place, place + batchSize);
    const settings = { ...generate, seed: (generate.seed ?? 42) + place / batchSize };
    for await (const event of textToImage(model, {
      ...settings,
      prompt,
      guidanceScale: scale,
      watermark: false,
      safety: false,
      ...(signal ? { signal } : {}),
    })) {
      if (event.kind === 'result') yield { images: event.images.map(({ image }) => image), place };
    }
  }
}

/** Pictures of one size, of all ranks, in order. */
async function imagesOfAll(ranks: Communicator, own: ReadonlyMap<number, Image>): Promise<Image[]> {
  if (ranks.size === 1) return [...own.values()];
  const [first] = own.values();
  const sizes = await ranks.allReduce(Float64Array.of(first?.width ?? 0, first?.height ?? 0), 'max');
  const [width = 0, height = 0] = sizes;
  const bytes = new Uint8Array(3 * width * height * own.size);
  for (const [i, { data }] of [...own.values()].entries()) bytes.set(data, 3 * width * height * i);
  const { count, width: size, data } = await gatherRows(ranks, [...own.keys()], bytes);
  return Array.from({ length: count }, (_, i) => createImage(width, height, 3, data.slice(i * size, (i + 1) * size)));
}

/**
 * Runs scale by scale. Of several ranks rank 0 alone gives the points. Throws `invalid-argument` if `clip` has no text encoder, and the
 * errors of generation.
 */
export async function* guidanceSweep(options: SweepOptions): AsyncGenerator<SweepEvent, void, void> {
  const { captions, features, clip, real, scales = guidanceScales, shown = 32, ranks = alone, signal } = options;
  if (!clip.texts)
    throw new StableDiffusionError(
      'invalid-argument',
      'The CLIP score needs a CLIP with both halves and their projections.',
    );
  const texts = ranks.rank === 0 ? await clip.texts(captions, signal) : undefined;
  for (const scale of scales) {
    const images = new Map<number, Image>();
    const places: number[] = [];
    const [made, embedded]: [PictureFeatures[], PictureFeatures[]] = [[], []];
    for await (const { images: some, place } of generated(options, scale)) {
      made.push(await features.pictures(some, signal));
      if (clip !== features) embedded.push(await clip.pictures(some, signal));
      for (const [i, image] of some.entries()) {
        places.push(place + i);
        if (place + i < shown) images.set(place + i, image);
      }
      yield { kind: 'pictures', scale, done: place + some.length, total: captions.length };
    }
    const all = async (parts: readonly PictureFeatures[]): Promise<Tensor> =>
      (await gatherFeatures(ranks, places, parts.length > 0 ? joinFeatures(parts) : undefined)).features;
    const whole = await all(made);
    const embeds = clip === features ? whole : await all(embedded);
    const grid = await imagesOfAll(ranks, images);
    if (!texts) continue;
    yield {
      kind: 'point',
      point: { scale, fid: frechetDistance(real.features, whole), clipScore: clipScore(embeds, texts).mean },
      images: grid,
    };
  }
}
