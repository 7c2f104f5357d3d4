/** Elements of data sets: samples as stored in files, and the items that training gets from them. */

import type { Image } from '../../image/image.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** Metadata of a picture other than its caption: sizes, scores, tags, an address. JSON values; integers above 2^53 as bigint. */
export type SampleMetadata = Readonly<Record<string, unknown>>;

/** A picture as a file's bytes, with its captions. */
export interface EncodedSample {
  /** Names the sample in messages: a path in the data set, `00012.tar:000120003`, `train.parquet:17`. */
  readonly name: string;
  /** PNG, JPEG, WebP or GIF. */
  readonly image: Uint8Array;
  /** A picture whose values are the classes of the pixels, for models of semantic maps; a file's bytes. */
  readonly map?: Uint8Array | undefined;
  /** None if the data set has none for it; one of them is drawn each time if there are several. */
  readonly captions: readonly string[];
  readonly metadata: SampleMetadata;
}

/** Latents kept from before, in place of the picture. */
export interface LatentSample {
  readonly name: string;
  /** One tensor for each way the picture was prepared (such as flipped); one is drawn each time. */
  readonly latents: readonly Tensor[];
  readonly captions: readonly string[];
  readonly metadata: SampleMetadata;
}

export type Sample = EncodedSample | LatentSample;

interface Item {
  readonly caption: string;
  readonly name: string;
  readonly metadata: SampleMetadata;
}

/** The part of a picture that a prepared one shows, in pixels: its size before, and the corner of the cut after resizing (SDXL's conditions). */
export interface CutSizes {
  readonly original: readonly [height: number, width: number];
  readonly crop: readonly [top: number, left: number];
}

/** A prepared picture of the target size. */
export interface ImageItem extends Item {
  readonly image: Image<3>;
  /** Undefined where the picture was cut before it was resized. */
  readonly sizes?: CutSizes | undefined;
  /** The map of the same part of the picture. */
  readonly map?: Image<3> | undefined;
}

/** Latents [c, h, w], or moments [2c, h, w] of the autoencoder's encoder; the cache states which. */
export interface LatentItem extends Item {
  readonly latents: Tensor<'float32'>;
}

export type TrainingItem = ImageItem | LatentItem;

/** A data set whose samples can be read in any order. */
export interface IndexedSource {
  readonly label: string;
  readonly count: number;
  /** The sample of a number from 0; undefined where it is missing or broken, which has then been reported. */
  read(index: number, signal?: AbortSignal): Promise<Sample | undefined>;
  close(): Promise<void>;
}

/** A sample and its place in its shard, from which it can be read again. */
export interface PlacedSample {
  readonly sample: Sample;
  /** A byte offset, a row: what it counts is the source's business. Increasing within a shard. */
  readonly position: number;
}

/** A data set that is read in sequence, shard by shard: for what lies in archives. */
export interface ShardedSource {
  readonly label: string;
  /** Names, in their natural order. */
  readonly shards: readonly string[];
  /** The samples of a shard, in order, from its beginning or from the position of one of them. What is broken is reported and left away. */
  open(shard: number, position?: number, signal?: AbortSignal): AsyncIterable<PlacedSample>;
  close(): Promise<void>;
}

export type SampleSource = IndexedSource | ShardedSource;

/** The places of a rank's items in a batch of `total` items that several ranks share. */
export interface ItemPlaces {
  readonly rows: readonly number[];
  readonly total: number;
}
