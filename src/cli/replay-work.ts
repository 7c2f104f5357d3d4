/** How much work a replay may be without being allowed more. */

import { StableDiffusionError } from '../errors.ts';
import type { GenerationRecord } from '../generation/record.ts';

/** Most steps x pixels of a replay that was not allowed more: 100 steps of 1024 x 1024 pixels. */
const mostWork = 100 * 1024 * 1024;
/** Most pixels at once: their memory is not asked for either. */
const mostPixels = 3 * 1024 * 1024;
/** A step of a smaller picture does not cost less. */
const leastPixels = 256 * 256;

/** A picture of a stranger may not order hours of work unasked. */
export function checkWork(record: GenerationRecord, isAllowed: boolean): void {
  const { width, height, steps: own, batchSize = 1, iteration, noise, enlarge = [] } = record;
  // Each stage of a cascade makes the sides four times as long at most.
  const growth = 16 ** enlarge.length;
  const pixels = width * height * batchSize * growth;
  const steps = enlarge.reduce(
    (total, stage, i) => total + (stage.steps ?? 100) / 16 ** (enlarge.length - 1 - i),
    own / growth,
  );
  // Of earlier batches only the noise is drawn, which is little work but not none.
  const earlier = noise === 'compvis' ? ((iteration - 1) * leastPixels) / 2 : 0;
  // The record does not know the picture's size: a part for each side, and tiles of half their sides.
  const parts = 'outpaint' in record && record.outpaint ? (record.outpaint.method === 'mk2' ? 4 : 16) : 1;
  if (isAllowed || (pixels <= mostPixels && Math.max(pixels, leastPixels) * steps * parts + earlier <= mostWork))
    return;
  throw new StableDiffusionError(
    'too-large',
    `The picture was made with ${steps} steps of ${batchSize} pictures of ${width} x ${height} pixels, in iteration ${iteration}. That takes long; allow it with --large.`,
  );
}
