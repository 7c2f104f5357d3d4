/** What callers without types ask of an encoder. */

import { StableDiffusionError } from '../../errors.ts';
import type { EncodeOptions } from './codec.ts';

const formats = ['png', 'jpeg', 'webp'] as const;

/** Throws `invalid-argument` for another format, and for a quality outside 1 … 100. */
export function checkEncode(options: EncodeOptions): void {
  const { format, quality = 90 } = options as { readonly format: EncodeOptions['format']; readonly quality?: number };
  if (!formats.includes(format))
    throw new StableDiffusionError(
      'invalid-argument',
      `Unknown format ${JSON.stringify(format)}. Available: ${formats.join(', ')}.`,
    );
  if (format !== 'png' && !(Number.isInteger(quality) && quality >= 1 && quality <= 100))
    throw new StableDiffusionError(
      'invalid-argument',
      `quality is ${quality}; it must be a whole number from 1 to 100.`,
    );
}
