/** Fills a cache of latents: every picture of a data set encoded once, and once mirrored where training flips. */

import { StableDiffusionError } from '../../errors.ts';
import { type Image, createImage } from '../../image/image.ts';
import { imagesToTensor } from '../../image/image-tensor.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import type { Autoencoder } from '../../model/autoencoder.ts';
import { type ItemOptions, prepareItem } from './batches.ts';
import { cacheKey, type LatentCacheWriter, sampleDigest } from './latent-cache-node.ts';
import { prefetch } from './prefetch.ts';
import { mirror } from './prepare-picture.ts';
import type { EncodedSample, Sample, SampleSource } from './sample.ts';
import { sampleDraws } from './sample-order.ts';

export interface FillOptions {
  readonly source: SampleSource;
  /** How pictures are prepared; flips are left to `flips`. */
  readonly items: ItemOptions;
  /** Keeps the mirrored picture too. */
  readonly flips: boolean;
  readonly firstStage: Autoencoder;
  readonly writer: LatentCacheWriter;
  /** Pictures encoded at once. */
  readonly batchSize: number;
  /** The ranks that fill the cache together; each encodes every `size`-th sample. Default: this process alone. */
  readonly share?: { readonly rank: number; readonly size: number };
}

/** The rows of a batch [b, …] as tensors of their own. */
function rowsOf({ shape, data }: Tensor<'float32'>): Tensor<'float32'>[] {
  const [count = 0, ...rest] = shape;
  const size = data.length / count;
  return Array.from({ length: count }, (_, i) => float32(rest, data.slice(i * size, (i + 1) * size)));
}

/** The samples of a rank, read one after another, each with its place. */
async function* sharedDraws(
  source: SampleSource,
  { rank, size }: { readonly rank: number; readonly size: number },
): AsyncGenerator<{ readonly sample: Sample | undefined; readonly place: number }, void, void> {
  let place = 0;
  for await (const { read } of sampleDraws(source, { seed: 0, shuffle: false, repeat: false })) {
    if (place % size === rank) yield { sample: await read(), place };
    place++;
  }
}

/** Yields how many of its samples are in the cache, after each batch, and returns their keys by place in the source. What the cache has is not made again. */
export async function* fillLatentCache(
  options: FillOptions,
): AsyncGenerator<{ readonly done: number; readonly total: number | undefined }, ReadonlyMap<number, string>, void> {
  const { source, flips, firstStage, writer, batchSize, share = { rank: 0, size: 1 } } = options;
  const items: ItemOptions = { ...options.items, picture: { ...options.items.picture, flip: 0 } };
  if (items.picture.crop === 'random' || items.picture.share)
    throw new StableDiffusionError(
      'config-invalid',
      'Latents of random crops cannot be kept, because each is another. Set random_crop to false and leave min_crop_f out, or leave latent_cache out.',
    );
  const total = 'count' in source ? Math.ceil((source.count - share.rank) / share.size) : undefined;
  let done = 0;
  let waiting: { readonly sample: EncodedSample; readonly digest: string; readonly image: Image<3> }[] = [];
  const keys = new Map<number, string>();
  const encode = async (images: readonly Image<3>[]): Promise<Tensor<'float32'>[]> =>
    rowsOf(await firstStage.encode(imagesToTensor(images)));
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return;
    // The programs have one batch size at a time; the last pictures are filled up.
    const blank = waiting[0]?.image ?? createImage(1, 1, 3);
    const images = Array.from({ length: batchSize }, (_, i) => waiting[i]?.image ?? blank);
    const plain = await encode(images);
    const mirrored = flips ? await encode(images.map(mirror)) : [];
    for (const [i, { sample, digest }] of waiting.entries()) {
      await writer.add({
        name: sample.name,
        digest,
        captions: sample.captions,
        metadata: sample.metadata,
        latents: [plain[i], mirrored[i]].filter((latents) => latents !== undefined),
      });
    }
    waiting = [];
  };
  const prepare = async (sample: EncodedSample, place: number): Promise<(typeof waiting)[number] | undefined> => {
    const digest = await sampleDigest(sample);
    const key = cacheKey(sample.name, digest);
    if (writer.has(key)) {
      keys.set(place, key);
      return undefined;
    }
    const item = await prepareItem(sample, 0, items);
    if (!item || !('image' in item)) return undefined;
    keys.set(place, key);
    return { sample, digest, image: item.image };
  };
  const samples = prefetch(
    sharedDraws(source, share),
    async ({ sample, place }) => (sample && 'image' in sample ? prepare(sample, place) : undefined),
    { ahead: 2 * batchSize },
  );
  for await (const prepared of samples) {
    done++;
    if (prepared) waiting.push(prepared);
    if (waiting.length < batchSize) continue;
    await flush();
    yield { done, total };
  }
  await flush();
  await writer.finish();
  yield { done, total };
  return keys;
}
