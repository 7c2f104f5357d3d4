/** The visible mark that a model puts into its pictures (DeepFloyd IF's `watermarker`), read once. */

import { visibleMarkPart } from '../checkpoints/diffusers.ts';
import { StableDiffusionError } from '../errors.ts';
import { createImage, type Image } from '../image/image.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export type VisibleMark = () => Promise<Image<4>>;

const tensorName = 'watermark_image';

/** Undefined for a model without a mark. Reading it throws `weights-mismatch` where it is no picture with an alpha channel. */
export function visibleMarkOf(parts: Readonly<Record<string, WeightSource>>): VisibleMark | undefined {
  const source = parts[visibleMarkPart];
  if (!source?.entries.has(tensorName)) return undefined;
  const read = async (): Promise<Image<4>> => {
    const { shape, data } = toFloat32(await source.read(tensorName));
    const [height = 0, width = 0, channels] = shape;
    if (shape.length !== 3 || channels !== 4 || height < 1 || width < 1 || height > 4096 || width > 4096)
      throw new StableDiffusionError(
        'weights-mismatch',
        `${source.label}: ${tensorName} has shape [${shape.join(', ')}]; it should be [height, width, 4].`,
      );
    return createImage(width, height, 4, Uint8Array.from(data, Math.round));
  };
  let mark: Promise<Image<4>> | undefined;
  return () => {
    mark ??= read();
    return mark;
  };
}
