/** The size of an axis that must be known when a network is traced: channels, heads, widths. */

import { StableDiffusionError } from '../errors.ts';
import { shapeText } from '../graph/dim.ts';
import type { Sym } from '../graph/trace.ts';

/** Size of `axis` of `x` (negative from the end) as a number. Throws `shape-mismatch` where it is a symbol or missing. */
export function fixedSize(x: Sym, axis: number): number {
  const size = x.shape.at(axis);
  if (typeof size === 'number') return size;
  throw new StableDiffusionError(
    'shape-mismatch',
    `Axis ${axis} of ${shapeText(x.shape)} must have a known size, because parameters depend on it.`,
  );
}
