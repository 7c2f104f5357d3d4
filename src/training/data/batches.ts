/**
 * Batches for training: samples in a seeded order, filtered, decoded and prepared in parallel with the training step, with the state from
 * which the same batches follow again. What a sample becomes depends on the seed, the epoch and its place in the order, on nothing else.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import type { Image } from '../../image/image.ts';
import { resize, type ResizeFilter } from '../../image/resize.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { prefetch } from './prefetch.ts';
import { type PictureOptions, preparedPicture, preparePicture } from './prepare-picture.ts';
import type { Problems } from './problems.ts';
import type { EncodedSample, ItemPlaces, Sample, SampleSource, TrainingItem } from './sample.ts';
import { captionCharacters } from './sample-text.ts';
import { rejection, type SampleFilter } from './sample-filter.ts';
import { type OrderedSample, orderedSamples, type OrderOptions, type OrderState } from './sample-order.ts';

export interface ItemOptions {
  readonly codec: ImageCodec;
  readonly picture: PictureOptions;
  readonly problems: Problems;
  readonly filter?: SampleFilter;
  /** For a sample without caption: use an empty caption (default), use this one, or drop the sample. All except the second are reported. */
  readonly missingCaption?: 'empty' | 'skip' | { readonly caption: string };
  /**
   * Maps are pictures that a control network sees: they must have the picture's proportions, and are resized as it is. Samples whose map does
   * not fit, or where `required` is missing, are left out and reported. Default: maps of classes, resized by the nearest pixel.
   */
  readonly maps?: { readonly required: boolean } | undefined;
}

export interface BatchOptions extends ItemOptions, OrderOptions {
  readonly batchSize: number;
  /** Number of samples to read and decode ahead. Default: two batches. */
  readonly ahead?: number;
}

export interface TrainingBatch {
  /** `batchSize` of them; fewer only at the end of a single pass. */
  readonly items: readonly TrainingItem[];
  /** Epoch of the last item. A batch may have items of two epochs. */
  readonly epoch: number;
  /** Give it as `state` to get the batch after this one next. */
  readonly state: OrderState;
  /** Where several ranks share the batch: the items' places in the whole. */
  readonly places?: ItemPlaces;
}

/** Batches without end, or of one pass. Throws `invalid-argument` where a whole pass gave no item, or what the source throws. */
export async function* trainingBatches(
  source: SampleSource,
  options: BatchOptions,
): AsyncGenerator<TrainingBatch, void, void> {
  const { batchSize, ahead = 2 * batchSize } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `A batch has a whole number of items from 1, and ${batchSize} was given.`,
    );
  const work = async (ordered: OrderedSample) => ({
    ordered,
    item: ordered.sample && (await prepareItem(ordered.sample, ordered.seed, options)),
  });
  let items: TrainingItem[] = [];
  let epoch = options.state?.epoch ?? 0;
  let inEpoch = options.state?.drawn ? 1 : 0; // a resumed epoch may have had its items before
  let last: OrderState | undefined;
  for await (const { ordered, item } of prefetch(orderedSamples(source, options), work, { ahead })) {
    if (ordered.epoch !== epoch) {
      if (inEpoch === 0)
        throw new StableDiffusionError(
          'invalid-argument',
          `${source.label}: a whole pass gave no item to train on. What was left out:\n${options.problems.summary()}`,
        );
      epoch = ordered.epoch;
      inEpoch = 0;
    }
    last = ordered.state;
    if (!item) continue;
    inEpoch++;
    items.push(item);
    if (items.length === batchSize) {
      yield { items, epoch, state: ordered.state };
      items = [];
    }
  }
  if (items.length > 0 && last) yield { items, epoch, state: last };
}

/** The item of one sample, or undefined where it is left out, which is then reported. `seed` decides caption, crop and flip. */
export async function prepareItem(
  sample: Sample,
  seed: number,
  options: ItemOptions,
): Promise<TrainingItem | undefined> {
  const { problems, filter, missingCaption = 'empty' } = options;
  const { name, metadata } = sample;
  const generator = new TorchGenerator(seed);
  const early = filter && rejection(filter, metadata);
  if (early !== undefined) {
    problems.report('filtered', name, `${name} is left out: ${early}.`);
    return undefined;
  }
  const drawn =
    sample.captions.length > 1 ? sample.captions[generator.integer(0, sample.captions.length)] : sample.captions[0];
  if (drawn === undefined && typeof missingCaption === 'string') {
    problems.report(
      'missing-caption',
      name,
      `${name} has no caption and is ${missingCaption === 'skip' ? 'left out' : 'used with an empty one'}.`,
    );
    if (missingCaption === 'skip') return undefined;
  }
  const caption = shortened(
    drawn ?? (typeof missingCaption === 'string' ? '' : missingCaption.caption),
    name,
    problems,
  );
  if ('latents' in sample) {
    const { latents } = sample;
    const chosen = latents[latents.length > 1 ? generator.integer(0, latents.length) : 0] as Tensor;
    return { latents: toFloat32(chosen), caption, name, metadata };
  }
  const picture = await decodePicture(sample, options.codec, problems);
  if (!picture) return undefined;
  const late = filter && rejection(filter, metadata, picture);
  if (late === undefined) {
    const same = generator.clone();
    const prepared = preparedPicture(picture, options.picture, generator);
    const map = sample.map && (await decodePicture({ ...sample, image: sample.map }, options.codec, problems));
    if (sample.map && !map) return undefined;
    if (options.maps && !isPair(name, picture, map, options.maps.required, problems)) return undefined;
    const filter = options.maps ? options.picture.filter : 'nearest';
    const more = map
      ? { map: preparePicture(mapLike(map, picture, filter), { ...options.picture, filter }, same) }
      : {};
    return { ...prepared, caption, name, metadata, ...more };
  }
  problems.report('filtered', name, `${name} is left out: ${late}.`);
  return undefined;
}

/** A map at its picture's size, so that both are cut alike. */
function mapLike(map: Image, { width, height }: Image, filter: ResizeFilter = 'bicubic'): Image {
  return map.width === width && map.height === height ? map : resize(map, width, height, filter);
}

/** Whether a picture has the map that it needs, of its proportions; reported where not. */
function isPair(name: string, picture: Image, map: Image | undefined, required: boolean, problems: Problems): boolean {
  if (!map) {
    if (required)
      problems.report(
        'missing-map',
        name,
        `${name} has no map and is left out. Name it as conditioning_image in metadata.jsonl, or give a folder of maps (conditioning_root) or a preprocessor (--annotator canny).`,
      );
    return !required;
  }
  // One pixel more or less is a matter of rounding.
  const height = (map.height * picture.width) / map.width;
  if (Math.abs(height - picture.height) <= Math.max(1, picture.width / map.width)) return true;
  problems.report(
    'missing-map',
    name,
    `${name} is left out: its map has ${map.width} x ${map.height} pixels, and the picture ${picture.width} x ${picture.height}. Give a map of the picture's proportions.`,
  );
  return false;
}

/** A caption without what is beyond the characters that are used, which is reported. */
function shortened(caption: string, name: string, problems: Problems): string {
  if (caption.length <= captionCharacters) return caption;
  problems.report(
    'long-caption',
    name,
    `The caption of ${name} is cut to its first ${captionCharacters} of ${caption.length} characters.`,
  );
  return caption.slice(0, captionCharacters);
}

/** The picture of a sample, or undefined where its file is damaged, which is reported by name. */
export async function decodePicture(
  { name, image }: EncodedSample,
  codec: ImageCodec,
  problems: Problems,
): Promise<Image | undefined> {
  try {
    return await codec.decode(image);
  } catch (cause) {
    if (!(cause instanceof StableDiffusionError) || !isOfTheFile(cause)) throw cause;
    problems.report('corrupt-image', name, `The picture of ${name} is left out. ${cause.message}`);
    return undefined;
  }
}

const isOfTheFile = ({ code }: StableDiffusionError): boolean =>
  code === 'file-corrupt' || code === 'file-truncated' || code === 'file-unsupported' || code === 'too-large';
