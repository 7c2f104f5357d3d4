/** Text to image (CompVis's scripts/txt2img.py). */

import type { TextToImageOptions } from '../generation/inputs.ts';
import type { Model } from '../model/model.ts';
import type { Pipeline } from './events.ts';
import { generate } from './generate.ts';

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
  return generate(model, { ...options, task: 'txt2img' });
}
