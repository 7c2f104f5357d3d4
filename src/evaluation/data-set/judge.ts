/** What is measured of a data set's pictures and captions, and why a sample is left out. */

import { throwIfAborted } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import { type ImageFormat, imageFormatOf } from '../../image/codec/image-file.ts';
import { flatten, type Image } from '../../image/image.ts';
import { perceptualHash } from '../../image/perceptual-hash.ts';
import { decodePicture } from '../../training/data/batches.ts';
import type { Problems } from '../../training/data/problems.ts';
import type { EncodedSample, SampleMetadata } from '../../training/data/sample.ts';
import { rejection, type SampleFilter } from '../../training/data/sample-filter.ts';
import type { AestheticHead } from '../aesthetic.ts';
import { clipScore } from '../clip-score.ts';
import type { FeaturesNetwork } from '../features.ts';

export interface DataSetFilter extends SampleFilter {
  /** Characters of the first caption. */
  readonly minimumCaption?: number | undefined;
  readonly maximumCaption?: number | undefined;
  /** Languages of the caption to accept, as the metadata has them (`en`). */
  readonly languages?: readonly string[] | undefined;
  /** Least cosine of picture and caption by the CLIP that is given. */
  readonly minimumClipScore?: number | undefined;
  /** Most bits of 64 that differ between a picture and its duplicate. Default: duplicates stay. */
  readonly duplicateDistance?: number | undefined;
}

/** Why a sample is left out. */
export type Reason =
  | 'picture'
  | 'size'
  | 'aspect'
  | 'caption'
  | 'language'
  | 'watermark'
  | 'unsafe'
  | 'nsfw'
  | 'similarity'
  | 'clip'
  | 'aesthetic'
  | 'duplicate';

/** Of one sample; scores only where they were asked for and the sample has passed what is cheaper. */
export interface Verdict {
  readonly reason?: Reason | undefined;
  readonly format?: ImageFormat | undefined;
  /** Pixels, upright. */
  readonly width?: number;
  readonly height?: number;
  /** Characters; undefined without a caption. */
  readonly caption?: number | undefined;
  readonly language?: string | undefined;
  readonly phash?: string | undefined;
  /** CLIP's cosine of picture and caption, -1 to 1. */
  readonly similarity?: number | undefined;
  /** The predictor's, 1 to 10. */
  readonly aesthetic?: number | undefined;
}

export interface JudgeOptions {
  readonly filter: DataSetFilter;
  readonly codec: ImageCodec;
  readonly problems: Problems;
  /** A CLIP, for its cosine and the aesthetic predictor. */
  readonly clip?: FeaturesNetwork | undefined;
  readonly aesthetic?: AestheticHead | undefined;
  readonly signal?: AbortSignal | undefined;
}

const languageFields = ['LANGUAGE', 'language', 'lang', 'Language'];

function languageOf(metadata: SampleMetadata): string | undefined {
  const found = languageFields.map((name) => metadata[name]).find((value) => typeof value === 'string');
  return typeof found === 'string' && found.length <= 35 ? found : undefined;
}

/** Filters of the metadata and the size, one by one, so that each has its count. */
const plainFilters: readonly (readonly [keyof SampleFilter, Reason])[] = [
  ['minimumSize', 'size'],
  ['maximumAspect', 'aspect'],
  ['maximumWatermark', 'watermark'],
  ['maximumUnsafe', 'unsafe'],
  ['nsfw', 'nsfw'],
  ['minimumSimilarity', 'similarity'],
];

function plainReason(
  { metadata }: EncodedSample,
  verdict: Verdict,
  { filter, aesthetic }: JudgeOptions,
  size: Image,
): Reason | undefined {
  const unknown = filter.unknown ?? 'drop';
  const refuses = (name: keyof SampleFilter): boolean =>
    filter[name] !== undefined && rejection({ [name]: filter[name], unknown }, metadata, size) !== undefined;
  const found = plainFilters.find(([name]) => refuses(name))?.[1];
  if (found) return found;
  if (!aesthetic && refuses('minimumAesthetics')) return 'aesthetic';
  const { minimumCaption = 0, maximumCaption = Number.POSITIVE_INFINITY, languages } = filter;
  const length = verdict.caption ?? 0;
  if (length < minimumCaption || length > maximumCaption) return 'caption';
  if (!languages) return undefined;
  const { language } = verdict;
  return (language === undefined ? unknown === 'keep' : languages.includes(language)) ? undefined : 'language';
}

interface Waiting {
  readonly at: number;
  readonly image: Image<3>;
  readonly caption: string | undefined;
}

/** Pixels that wait for the networks at once. */
const waitingPixels = 2 ** 25;

/** Adds the scores of some pictures to their verdicts. */
async function score(waiting: readonly Waiting[], verdicts: Verdict[], options: JudgeOptions): Promise<void> {
  const { clip, aesthetic, filter, signal } = options;
  if (!clip || waiting.length === 0) return;
  const { features } = await clip.pictures(
    waiting.map(({ image }) => image),
    signal,
  );
  const ratings = aesthetic?.score(features);
  const cosines = clip.texts
    ? clipScore(
        features,
        await clip.texts(
          waiting.map(({ caption = '' }) => caption),
          signal,
        ),
      ).cosines
    : undefined;
  for (const [i, { at, caption }] of waiting.entries()) {
    const similarity = caption === undefined ? undefined : cosines?.[i];
    const rating = ratings?.[i];
    const { minimumClipScore: least, minimumAesthetics } = filter;
    const far = least !== undefined && !((similarity ?? Number.NEGATIVE_INFINITY) >= least);
    const poor = aesthetic !== undefined && minimumAesthetics !== undefined && !((rating ?? 0) > minimumAesthetics);
    const reason = far ? 'clip' : poor ? 'aesthetic' : undefined;
    verdicts[at] = { ...verdicts[at], similarity, aesthetic: rating, ...(reason ? { reason } : {}) };
  }
}

/** A verdict for each sample of a block. Pictures that do not decode are reported. Throws `shape-mismatch` where predictor and CLIP differ in width. */
export async function judge(
  samples: readonly (EncodedSample | undefined)[],
  options: JudgeOptions,
): Promise<readonly Verdict[]> {
  const { codec, problems, filter, clip, signal } = options;
  const verdicts: Verdict[] = [];
  let waiting: Waiting[] = [];
  let pixels = 0;
  for (const [at, sample] of samples.entries()) {
    throwIfAborted(signal);
    const image = sample && (await decodePicture(sample, codec, problems));
    if (!image) {
      verdicts.push({ reason: 'picture' });
      continue;
    }
    const [caption] = sample.captions;
    const verdict: Verdict = {
      format: imageFormatOf(sample.image),
      width: image.width,
      height: image.height,
      caption: caption === undefined ? undefined : [...caption.trim()].length,
      language: languageOf(sample.metadata),
    };
    const reason = plainReason(sample, verdict, options, image);
    const phash = !reason && filter.duplicateDistance !== undefined ? perceptualHash(image) : undefined;
    verdicts.push({ ...verdict, reason, phash });
    if (reason || !clip) continue;
    waiting.push({ at, image: flatten(image), caption });
    pixels += image.width * image.height;
    if (pixels < waitingPixels) continue;
    await score(waiting, verdicts, options);
    waiting = [];
    pixels = 0;
  }
  await score(waiting, verdicts, options);
  return verdicts;
}
