/** The start of the second pass of A1111's "hires. fix" by its latent upscalers (`sample_hr_pass`, modules/processing.py, v1.10.1). */

import { type LatentUpscaleMode, upscaleLatent } from '../../diffusion/latent-upscale.ts';
import type { Model } from '../../model/model.ts';
import { cropPlanes } from '../../tensor/crop-planes.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** Whether a model starts from a latent alone. Models that also see a picture start from the enlarged picture. */
export function startsFromLatent({ checkpoint }: Model): boolean {
  return checkpoint.config.conditioning_key === 'crossattn';
}

export interface LatentSize {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Keep the aspect ratio and crop; otherwise stretch. */
  readonly crop?: boolean | undefined;
}

/** A latent [1, c, h, w] at another size. */
export function enlargedLatent(
  latent: Tensor<'float32'>,
  { width, height, crop = false }: LatentSize,
  { downsampling }: Pick<Model, 'downsampling'>,
  mode: LatentUpscaleMode,
): Tensor<'float32'> {
  const [, , rows = 1, columns = 1] = latent.shape;
  const [h, w] = [height / downsampling, width / downsampling];
  if (!crop || columns * h === rows * w) return upscaleLatent(latent, h, w, mode);
  // The whole at a size that covers the wanted one, and its middle.
  const isWider = columns * h > rows * w;
  const [toH, toW] = isWider
    ? [h, Math.floor((height * columns) / rows / downsampling)]
    : [Math.floor((width * rows) / columns / downsampling), w];
  const whole = upscaleLatent(latent, Math.max(h, toH), Math.max(w, toW), mode);
  const [, , allRows = h, allColumns = w] = whole.shape;
  return cropPlanes(whole, {
    top: Math.floor((allRows - h) / 2),
    left: Math.floor((allColumns - w) / 2),
    height: h,
    width: w,
  });
}
