/** The maps of a batch's items: those of the data set, or what a preprocessor draws from the pictures. */

import { StableDiffusionError } from '../../errors.ts';
import { imagesToTensor, inShares } from '../../image/image-tensor.ts';
import type { Image } from '../../image/image.ts';
import { resize } from '../../image/resize.ts';
import type { Annotator } from '../../models/annotators/annotator.ts';
import { preprocess, type Preprocessor } from '../../preprocessors/index.ts';
import { firstChannels } from '../../tensor/first-channels.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { TrainingItem } from '../data/sample.ts';

/** Draws maps while training. */
export interface MapDrawer {
  readonly preprocessor: Preprocessor;
  /** The preprocessor's network, for those that need one. */
  readonly annotator?: Annotator | undefined;
  /** Pixels of the shorter side at which the map is drawn. Default: the picture's. */
  readonly resolution?: number | undefined;
  readonly a?: number | undefined;
  readonly b?: number | undefined;
}

async function mapOf(item: TrainingItem, drawer: MapDrawer | undefined): Promise<Image<3>> {
  if ('image' in item && item.map) return item.map;
  if (!('image' in item))
    throw new StableDiffusionError(
      'invalid-argument',
      `${item.name} is a cached latent; control networks are trained from pictures. Give the folder of pictures.`,
    );
  if (!drawer)
    throw new StableDiffusionError(
      'invalid-argument',
      `${item.name} has no map. Name it as conditioning_image in metadata.jsonl, give conditioning_root, or let a preprocessor draw it (model.params.annotator).`,
    );
  const { preprocessor, annotator, resolution = Math.min(item.image.width, item.image.height), a, b } = drawer;
  const map = await preprocess(preprocessor, item.image, { resolution: Math.max(64, resolution), a, b }, annotator);
  const { width, height } = item.image;
  if (map.width === width && map.height === height) return map;
  return resize(map, width, height, 'bilinear') as Image<3>;
}

/** float32 [b, channels, h, w] in [0, 1]. Throws `invalid-argument` for an item without a map if nothing draws it. */
export async function hintsOf(
  items: readonly TrainingItem[],
  channels: number,
  drawer: MapDrawer | undefined,
): Promise<Tensor<'float32'>> {
  const maps: Image<3>[] = [];
  for (const item of items) maps.push(await mapOf(item, drawer));
  return firstChannels(inShares(imagesToTensor(maps)), channels);
}
