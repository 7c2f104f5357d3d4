/** Training data with latents in place of pictures; several ranks encode them together, into one folder that all of them see. */

import { configError } from '../config/validate.ts';
import { StableDiffusionError } from '../errors.ts';
import { alone, type Communicator, gatherJson } from '../distributed/communicator.ts';
import { fillLatentCache } from './data/fill-latent-cache-node.ts';
import { latentCache, writeLatentCache } from './data/latent-cache-node.ts';
import { type Split, type SplitOptions, splitItems, splitOf } from './data/open-split-node.ts';
import type { TrainingEvent } from './loop-options.ts';
import type { SetUp } from './set-up.ts';
import type { TrainingConfig } from './training-config.ts';

/** The keys that the ranks have, in the order of the source. */
async function keysOfAll(communicator: Communicator, own: ReadonlyMap<number, string>): Promise<readonly string[]> {
  const keys = (await gatherJson(communicator, [...own])).flat();
  return keys.sort(([a], [b]) => a - b).map(([, key]) => key);
}

/** The training data with latents in place of pictures: from a cache, which is filled first. */
export async function* cachedLatents(
  folder: string,
  pictures: Split,
  config: TrainingConfig,
  options: SplitOptions,
  { latents }: SetUp<unknown>,
): AsyncGenerator<TrainingEvent, Split, void> {
  if (!latents)
    throw configError(`${options.what}: latent_cache is for latent diffusion models; this is trained on the pictures.`);
  const { train, training } = config;
  const flips = train.flip_p > 0;
  if (flips && train.flip_p !== 0.5)
    throw configError(
      `${options.what}: flip_p is ${train.flip_p}; with latent_cache it is 0 or 0.5, because a picture and its mirror image are kept and one of them is drawn.`,
    );
  const items = splitItems(train, options);
  const { size, filter, background } = items.picture;
  // The filter of the data determines the dropped samples.
  const fingerprint = JSON.stringify({
    autoencoder: await latents.fingerprint(),
    size,
    filter,
    background,
    flips,
    samples: items.filter,
  });
  const { communicator = alone } = options;
  const writer = await writeLatentCache(folder, {
    fingerprint,
    dtype: training.latent_cache_dtype,
    share: communicator,
  });
  await communicator.barrier();
  const filling = fillLatentCache({
    source: pictures.source,
    items,
    flips,
    firstStage: latents.firstStage,
    writer,
    batchSize: options.batchSize,
    share: communicator,
  });
  for (let next = await filling.next(); ; next = await filling.next()) {
    if (!next.done) {
      yield { kind: 'latents', ...next.value };
      continue;
    }
    await pictures.close();
    const wanted = await keysOfAll(communicator, next.value);
    const dtype = training.latent_cache_dtype;
    const cache = await latentCache(folder, { fingerprint, dtype, wanted });
    if (cache.count < wanted.length) {
      await cache.close();
      throw new StableDiffusionError(
        'file-access',
        `${folder} holds ${cache.count} of the ${wanted.length} samples whose latents were written there: files were removed meanwhile. Start again.`,
      );
    }
    return splitOf(cache, train, options);
  }
}
