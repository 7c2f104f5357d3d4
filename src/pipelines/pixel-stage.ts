/** Pictures for DeepFloyd IF's stages, which work on pixels: diffusers' `resize` of its IF pipelines. */

import { createImage, type Image, toGrey } from '../image/image.ts';
import { resize } from '../image/resize.ts';
import type { Model } from '../model/model.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';

/** Pixels. */
interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** True for a stage of DeepFloyd IF. */
export const isPixelStage = ({ checkpoint }: Pick<Model, 'checkpoint'>): boolean =>
  checkpoint.config.unet_config.kind === 'if_unet';

/** The shorter side as the model has it, the other in proportion, in multiples of 8. */
export function stageSize({ width, height }: PictureSize, side: number): PictureSize {
  const ratio = width / height;
  const long = (share: number): number => Math.max(8, roundHalfEven((side / 8) * share) * 8);
  return ratio >= 1 ? { width: long(ratio), height: side } : { width: side, height: long(1 / ratio) };
}

/** A mask at a size: white where it is painted, from the middle of the greys on. */
export function stageMask(mask: Image, { width, height }: PictureSize): Image<1> {
  const grey = resize(toGrey(mask), width, height, 'bicubic');
  return createImage(
    width,
    height,
    1,
    grey.data.map((value) => (value / 255 >= 0.5 ? 255 : 0)),
  );
}
