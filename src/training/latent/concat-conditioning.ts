/**
 * Inputs concatenated to the latents in training: for 9-channel inpainting the mask and the latents of the masked picture
 * (`LatentInpaintDiffusion`, mask and masked picture as runwayml's), of super-resolution the small, worn picture (LDM's `bsr_sr`).
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import { imagesToTensor } from '../../image/image-tensor.ts';
import { inpaintBatch, interpolateMask } from '../../image/inpaint-batch.ts';
import type { Image } from '../../image/image.ts';
import { need } from '../../models/trace-network.ts';
import { concatenate, scale } from '../../tensor/arithmetic.ts';
import { joinBatches } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { Conditioning } from './conditioning.ts';
import type { TrainingItem } from '../data/sample.ts';
import { generatorDraws } from '../degrade/draws.ts';
import { type Degradation, smallPicture } from '../degrade/super-resolution-picture.ts';
import type { Autoencoder } from '../../model/autoencoder.ts';
import { randomMask } from './inpainting-masks.ts';

const conditioning = (
  channels: number,
  side: number,
  prepare: (
    items: readonly TrainingItem[],
    generator: Parameters<Conditioning['prepare']>[1],
  ) => Promise<Tensor<'float32'>>,
): Conditioning => ({
  inputs: (batch) => ({ concat: { dtype: 'float32', shape: [batch, channels, side, side] } }),
  trace: (_, given) => ({ concat: need(given, 'concat') }),
  prepare: async (items, generator) => ({ concat: await prepare(items, generator) }),
});

function pictureOf(item: TrainingItem, what: string): Image<3> {
  if ('image' in item) return item.image;
  throw new StableDiffusionError(
    'invalid-argument',
    `${what} needs the pictures themselves, and ${item.name} is a cached latent. Train without latent_cache.`,
  );
}

export interface InpaintingOptions {
  readonly firstStage: Autoencoder;
  /** Factor on the masked picture's latents, read for each batch. */
  readonly scaleFactor: () => number;
  readonly channels: number;
  /** Side of the latents. */
  readonly side: number;
  /** Share of masks that hide everything. */
  readonly fullShare: number;
}

/** Mask [b, 1, h, w], 1 where the picture is regenerated, then the masked picture's latents. */
export function inpaintingConditioning({
  firstStage,
  scaleFactor,
  channels,
  side,
  fullShare,
}: InpaintingOptions): Conditioning {
  return conditioning(channels + 1, side, async (items, generator) => {
    const pictures = items.map((item) => pictureOf(item, 'Inpainting'));
    const masks = generator.each(pictures, ({ width }, draws) => randomMask(width, draws, fullShare));
    const parts = pictures.map((picture, i) => inpaintBatch(picture, masks[i] as Image<1>, 'stable-diffusion'));
    const masked = firstStage.sample(
      await firstStage.encode(joinBatches(parts.map(({ maskedImage }) => maskedImage))),
      (shape) => generator.randn(shape),
    );
    return concatenate(
      [interpolateMask(joinBatches(parts.map(({ mask }) => mask)), side, side), scale(masked, scaleFactor())],
      1,
    );
  });
}

export interface SuperResolutionOptions {
  readonly degradation: Degradation;
  /** Downscaling factor of the small picture, equal to that of the latents. */
  readonly factor: number;
  /** Side of the latents. */
  readonly side: number;
  /** Codec for the JPEG steps of the degradation. */
  readonly codec: ImageCodec;
}

/** The small picture [b, 3, h, w] in [-1, 1]. */
export function superResolutionConditioning({
  degradation,
  factor,
  side,
  codec,
}: SuperResolutionOptions): Conditioning {
  return conditioning(3, side, async (items, generator) => {
    const small: Image<3>[] = [];
    for (const [i, item] of items.entries()) {
      const draws = generatorDraws(generator.forItem(i));
      small.push(await smallPicture(pictureOf(item, 'Super-resolution'), { degradation, factor, codec }, draws));
    }
    return imagesToTensor(small);
  });
}
