/**
 * Merging by blocks (bbc-mc/sdweb-merge-block-weighted-gui): the UNet's twelve input blocks, its middle, and its twelve output blocks have
 * a ratio each; text encoder, time embedding and the rest have the base ratio.
 */

import { StableDiffusionError } from '../errors.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

/** Number of ratios: IN00 to IN11, M00, OUT00 to OUT11. */
export const blockCount = 25;

const { unet } = partPrefixes;

/** Number of the block that a tensor of a CompVis checkpoint lies in: 0 to 24; undefined for the base. */
export function blockOf(name: string): number | undefined {
  if (!name.startsWith(unet)) return undefined;
  const [part, digits = ''] = name.slice(unet.length).split('.', 2);
  if (part === 'middle_block') return 12;
  const number = /^\d{1,2}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(number < 12)) return undefined;
  if (part === 'input_blocks') return number;
  return part === 'output_blocks' ? 13 + number : undefined;
}

/** The ratio of each tensor. Throws `invalid-argument` unless there are 25 finite numbers. */
export function blockRatios(ratios: readonly number[], base: number): (name: string) => number {
  if (ratios.length !== blockCount || ![...ratios, base].every(Number.isFinite))
    throw new StableDiffusionError(
      'invalid-argument',
      `Block ratios are ${blockCount} numbers (IN00 to IN11, M00, OUT00 to OUT11), got ${ratios.length}.`,
    );
  return (name) => {
    const block = blockOf(name);
    return block === undefined ? base : (ratios[block] as number);
  };
}
