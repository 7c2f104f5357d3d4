/** Text to image (CompVis's scripts/txt2img.py). */

import type { Pipeline } from './events.ts';
import { generate, type GenerateOptions } from './generate.ts';
import type { Model } from '../model/model.ts';

export interface TextToImageOptions extends GenerateOptions {
  /** Pixels; multiples of the model's unit (64 for Stable Diffusion v1). By default the model's own size. */
  readonly width?: number;
  readonly height?: number;
}

/**
 * Makes pictures of a prompt.
 *
 * @example
 * for await (const event of textToImage(model, { prompt: 'a red apple', steps: 20 })) {
 *   if (event.kind === 'result') use(event.images[0].image);
 * }
 * @throws `invalid-argument`, `too-large`, `aborted`, `not-finite`, `engine-failed`
 */
export function textToImage(model: Model, options: TextToImageOptions): Pipeline {
  return generate(model, options, {
    pipeline: 'txt2img',
    width: options.width ?? model.nativeSize,
    height: options.height ?? model.nativeSize,
  });
}
