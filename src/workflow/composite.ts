/** One tensor laid over another, [b, c, h, w], through a mask: ComfyUI's `composite`. */

import { resizeBilinear } from '../tensor/resize-bilinear.ts';
import type { Float32 } from './grids.ts';
import { fitSize } from './sampling/entry-inputs.ts';
import { toBatch } from './sampling/to-batch.ts';

export interface CompositeOptions {
  readonly x: number;
  readonly y: number;
  /** Pixels of one element. */
  readonly unit: number;
  readonly resizeSource: boolean;
  readonly mask?: Float32 | undefined;
}

export function composite(destination: Float32, given: Float32, options: CompositeOptions): Float32 {
  const { unit, resizeSource } = options;
  const [batch = 1, channels = 1, H = 1, W = 1] = destination.shape;
  const source = toBatch(resizeSource ? resizeBilinear(given, H, W) : given, batch);
  const [, , h = 1, w = 1] = source.shape;
  const clip = (at: number, own: number, whole: number): number =>
    Math.floor(Math.max(-own * unit, Math.min(at, whole * unit)) / unit);
  const [left, top] = [clip(options.x, w, W), clip(options.y, h, H)];
  const mask = options.mask && toBatch(fitSize(fourAxes(options.mask), h, w), batch);
  const data = destination.data.slice();
  for (let b = 0; b < batch; b++)
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < Math.min(h, H - top); y++)
        for (let x = 0; x < Math.min(w, W - left); x++) {
          const share = mask ? (mask.data[(b * h + y) * w + x] as number) : 1;
          const at = ((b * channels + c) * H + top + y) * W + left + x;
          const over = source.data[((b * channels + c) * h + y) * w + x] as number;
          data[at] = Math.fround(share * over) + Math.fround((1 - share) * (data[at] as number));
        }
  return { ...destination, data };
}

/** A mask as [b, 1, h, w]. */
export function fourAxes(mask: Float32): Float32 {
  const [h = 1, w = 1] = mask.shape.slice(-2);
  return { ...mask, shape: [mask.data.length / (h * w), 1, h, w] };
}
