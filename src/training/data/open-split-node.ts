/** A part of a configuration's data (`data.params.train`, `data.params.validation`) as batches. */

import { alone, type Communicator } from '../../distributed/communicator.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { DataSplit } from '../training-config.ts';
import { type BatchOptions, type TrainingBatch, trainingBatches } from './batches.ts';
import { openData } from './open-data-node.ts';
import { ownShardBatches } from './own-shards.ts';
import type { Problems } from './problems.ts';
import type { SampleSource } from './sample.ts';
import type { SampleFilter } from './sample-filter.ts';
import type { OrderState } from './sample-order.ts';
import { sharedBatches } from './shared-batches.ts';

export interface SplitOptions {
  /** For messages: `data.params.train of a.yaml`. */
  readonly what: string;
  readonly problems: Problems;
  /** Defaults of the configuration. */
  readonly size: number;
  readonly batchSize: number;
  readonly codec: ImageCodec;
  readonly seed: number;
  readonly missingCaption?: BatchOptions['missingCaption'];
  /** Where classes of a folder's pictures come from, if the section does not say. */
  readonly labels?: DataSplit['labels'];
  readonly maps?: BatchOptions['maps'];
  /** The processes that train together; each gets its part of the batches. Default: this one alone. */
  readonly communicator?: Communicator;
}

export interface Split {
  readonly source: SampleSource;
  /** Pixels of each side of a picture. */
  readonly size: number;
  /** Without end, in an order of its seed. */
  batches(state: OrderState | undefined): AsyncIterable<TrainingBatch>;
  /** The first batches in the data's own order, always the same; they start over at the end of the data. */
  first(count: number): AsyncIterable<TrainingBatch>;
  close(): Promise<void>;
}

function filterOf({ filter }: DataSplit): SampleFilter | undefined {
  if (!filter) return undefined;
  const {
    minimum_size,
    maximum_aspect,
    minimum_aesthetics,
    maximum_watermark,
    maximum_unsafe,
    nsfw,
    minimum_similarity,
    unknown,
  } = filter;
  return {
    minimumSize: minimum_size,
    maximumAspect: maximum_aspect,
    minimumAesthetics: minimum_aesthetics,
    maximumWatermark: maximum_watermark,
    maximumUnsafe: maximum_unsafe,
    nsfw,
    minimumSimilarity: minimum_similarity,
    unknown,
  };
}

/** Converts samples to items, as configured. */
export function splitItems(split: DataSplit, options: SplitOptions): Omit<BatchOptions, 'seed' | 'batchSize'> {
  const filter = filterOf(split);
  const missingCaption =
    split.missing_caption === undefined ? options.missingCaption : { caption: split.missing_caption };
  return {
    codec: options.codec,
    problems: options.problems,
    picture: {
      size: split.size ?? options.size,
      crop: split.random_crop ? 'random' : 'center',
      adm: split.crop === 'adm',
      flip: split.flip_p,
      filter: split.interpolation,
      ...(split.min_crop_f ? { share: { least: split.min_crop_f, greatest: split.max_crop_f } } : {}),
      ...(split.background ? { background: split.background } : {}),
      ...(split.degradation === 'bsrgan_plus' ? { sharpens: true } : {}),
    },
    ...(filter ? { filter } : {}),
    missingCaption,
    maps: options.maps,
  };
}

/** Opens the data. Throws `config-invalid` where the configuration names none, or what `openData` throws. */
export async function openSplit(split: DataSplit, options: SplitOptions): Promise<Split> {
  if (split.data_root === undefined)
    throw new StableDiffusionError(
      'config-invalid',
      `${options.what} names no data: give params.data_root, a folder of pictures, shards or Parquet files.`,
    );
  const source = await openData(split.data_root, {
    problems: options.problems,
    captionField: split.caption_key,
    imageField: split.image_key,
    labels: split.labels ?? options.labels,
    needsLabels: split.labels !== undefined,
    cache: {
      folder: split.cache,
      bytes: split.cache_gb === undefined ? undefined : split.cache_gb * 1e9,
    },
    mapField: split.conditioning_key,
    mapFolder: split.conditioning_root,
  });
  return splitOf(source, split, options);
}

/** Opened data with cached latents in place of pictures. */
export function splitOf(source: SampleSource, split: DataSplit, options: SplitOptions): Split {
  const common: BatchOptions = {
    ...splitItems(split, options),
    seed: options.seed,
    batchSize: options.batchSize,
    ...(split.shuffle_buffer === undefined ? {} : { buffer: split.shuffle_buffer }),
  };
  const { communicator = alone } = options;
  const batchesOf = (own: BatchOptions): AsyncGenerator<TrainingBatch, void, void> =>
    communicator.size > 1 ? sharedBatches(source, own, communicator) : trainingBatches(source, own);
  if (split.own_shards && 'read' in source)
    throw new StableDiffusionError('config-invalid', `${options.what}: own_shards is for shards.`);
  const trained = (own: BatchOptions): AsyncGenerator<TrainingBatch, void, void> =>
    split.own_shards && communicator.size > 1 && !('read' in source)
      ? ownShardBatches(source, own, communicator)
      : batchesOf(own);
  return {
    source,
    size: common.picture.size,
    batches: (state) => trained({ ...common, ...(state ? { state } : {}) }),
    async *first(count) {
      let left = count;
      if (left < 1) return;
      for await (const batch of batchesOf({ ...common, shuffle: false })) {
        yield batch;
        if (--left === 0) return;
      }
    },
    close: () => source.close(),
  };
}
