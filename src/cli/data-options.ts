/** Options of `sd data`, and the filters and networks that they ask for. */

import type { Engine } from '../engine/engine.ts';
import type { AestheticHead } from '../evaluation/aesthetic.ts';
import type { DataSetFilter } from '../evaluation/data-set/judge.ts';
import type { FeaturesNetwork } from '../evaluation/features.ts';
import { StableDiffusionError } from '../errors.ts';
import { distributedOptions } from './distributed.ts';
import { engineOptions } from './engine-options.ts';
import { needing } from './needed-options.ts';
import { flag, integer, number, type OptionValues, text, UsageError } from './options.ts';

const words = (given: string): readonly string[] => {
  const found = given.split(',').map((word) => word.trim());
  if (found.some((word) => word === '')) throw new UsageError(`must be words with commas between, got "${given}".`);
  return found;
};

export const dataOptions = {
  output: text(
    ['--output', '--outdir', '-o'],
    'DIR',
    'filter: folder of the shards (required); stats: folder of the plots and stats.json (default: none are written)',
  ),
  minSize: integer(['--min-size'], "least shorter side, pixels: the original's where the metadata has it", { min: 1 }),
  maxAspect: number(['--max-aspect'], 'greatest ratio of the longer to the shorter side', { min: 1 }),
  minCaption: integer(['--min-caption'], 'least characters of the caption', { min: 0 }),
  maxCaption: integer(['--max-caption'], 'most characters of the caption', { min: 0 }),
  languages: {
    flags: ['--language'],
    value: 'NAME[,NAME…]',
    description: "languages of the caption to keep, as the metadata's field LANGUAGE or language has them, such as en",
    parse: (given: string): readonly string[] | undefined => words(given),
  },
  maxWatermark: number(['--max-watermark'], 'keep what has a lower pwatermark in its metadata', { min: 0, max: 1 }),
  maxUnsafe: number(['--max-unsafe'], 'keep what has a lower punsafe in its metadata', { min: 0, max: 1 }),
  nsfw: {
    flags: ['--nsfw'],
    value: 'WORD[,WORD…]',
    description: "LAION's marks to keep: UNLIKELY, UNSURE, NSFW",
    parse: (given: string): readonly string[] | undefined => words(given),
  },
  minSimilarity: number(['--min-similarity'], 'least similarity of the metadata', { min: -1, max: 1 }),
  unknown: flag(['--keep-unknown'], 'keep samples whose metadata lack a filtered field (default: they are left out)'),
  duplicates: integer(
    ['--phash-distance'],
    'leave out a picture whose perceptual hash (phash of imagehash) differs from that of a kept one in at most N of 64 bits (default: duplicates stay)',
    { min: 0, max: 11 },
  ),
  maxHashes: needing(
    integer(['--max-hashes'], 'hashes kept in memory, 24 bytes each (default: 20000000)', {
      min: 1,
      max: 2 ** 29,
    }),
    '--phash-distance',
  ),
  clip: text(['--clip'], 'FILE', 'CLIP that compares picture and caption, and gives --aesthetic its features'),
  minClipScore: needing(
    number(['--min-clip-score'], "least cosine by --clip, such as LAION-5B's 0.28", { min: -1, max: 1 }),
    '--clip',
  ),
  aesthetic: needing(
    text(
      ['--aesthetic'],
      'FILE',
      "LAION's aesthetic predictor, version 1 (sa_0_4_vit_l_14_linear.pth) or 2 (sac+logos+ava1-l14-linearMSE.pth); needs --clip",
    ),
    '--clip',
  ),
  minAesthetic: number(['--min-aesthetic'], 'keep what is rated higher: by --aesthetic, else in its metadata'),
  shardSize: integer(['--shard-size'], 'filter: pictures of one shard (default: 10000)', { min: 1, max: 1_000_000 }),
  imageKey: text(['--image-key'], 'NAME', 'column or field with the pictures (default: the usual names)'),
  captionKey: text(['--caption-key'], 'NAME', 'column or field with the captions (default: the usual names)'),
  device: engineOptions.device,
  threads: engineOptions.threads,
  ...distributedOptions,
  force: flag(['--force'], 'stats: replace plots that exist'),
  quiet: flag(['--quiet', '-q'], 'no progress'),
  json: flag(['--json'], 'print the result as one JSON object'),
};

export type DataValues = OptionValues<typeof dataOptions>;

/** The filters asked for. */
export function filterOf(values: DataValues): DataSetFilter {
  const given = {
    minimumSize: values.minSize,
    maximumAspect: values.maxAspect,
    minimumAesthetics: values.minAesthetic,
    maximumWatermark: values.maxWatermark,
    maximumUnsafe: values.maxUnsafe,
    nsfw: values.nsfw,
    minimumSimilarity: values.minSimilarity,
    minimumCaption: values.minCaption,
    maximumCaption: values.maxCaption,
    languages: values.languages,
    minimumClipScore: values.minClipScore,
    duplicateDistance: values.duplicates,
    unknown: values.unknown ? 'keep' : 'drop',
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as DataSetFilter;
}

export interface Scorers extends AsyncDisposable {
  readonly clip?: FeaturesNetwork;
  readonly aesthetic?: AestheticHead;
}

/** CLIP and predictor of the options. Throws `invalid-argument` for another network than a CLIP, or one without texts where they are compared. */
export async function openScorers(values: DataValues, startEngine: () => Promise<Engine>): Promise<Scorers> {
  if (values.clip === undefined) return { [Symbol.asyncDispose]: async () => {} };
  const { openWeightsAt } = await import('../formats/open-weights-node.ts');
  const { featuresNetwork } = await import('../evaluation/features.ts');
  const aesthetic = values.aesthetic === undefined ? undefined : await openPredictor(values.aesthetic);
  const weights = await openWeightsAt(values.clip);
  let engine: Engine | undefined;
  const close = async (): Promise<void> => {
    await engine?.[Symbol.asyncDispose]();
    await weights.close();
  };
  try {
    engine = await startEngine();
    const clip = featuresNetwork(engine, weights);
    if (clip.kind !== 'clip')
      throw new StableDiffusionError('invalid-argument', `${values.clip} is not a CLIP, and --clip needs one.`);
    if (!clip.texts && values.minClipScore !== undefined)
      throw new StableDiffusionError(
        'invalid-argument',
        `${values.clip} has no text encoder, so --min-clip-score cannot compare pictures and captions.`,
      );
    return {
      clip,
      ...(aesthetic ? { aesthetic } : {}),
      async [Symbol.asyncDispose]() {
        await clip[Symbol.asyncDispose]();
        await close();
      },
    };
  } catch (cause) {
    await close();
    throw cause;
  }
}

async function openPredictor(path: string): Promise<AestheticHead> {
  const { openWeightsAt } = await import('../formats/open-weights-node.ts');
  const { aestheticHead } = await import('../evaluation/aesthetic.ts');
  const source = await openWeightsAt(path);
  try {
    return await aestheticHead(source);
  } finally {
    await source.close();
  }
}
