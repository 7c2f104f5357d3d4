/** How far a picture of ours is from a recorded one, in levels of 255. */

import type { Image } from '../../src/image/image.ts';
import type { Comparisons } from './comparisons.ts';

export interface PictureTolerance {
  /** Largest difference in levels. */
  readonly levels: number;
  /** Share of values that may differ by more than 1 level. */
  readonly shareBeyondOne?: number;
  /** Share of values that may differ at all. */
  readonly shareDifferent?: number;
}

export function comparePictures(
  compare: Comparisons,
  output: string,
  got: Image | undefined,
  want: Image,
  { levels, shareBeyondOne, shareDifferent }: PictureTolerance,
): void {
  if (!got) throw new Error(`${output} was not made`);
  compare.exact(`${output}: size`, [got.width, got.height, got.channels], [want.width, want.height, want.channels]);
  const differences = Array.from(want.data, (value, i) => Math.abs((got.data[i] ?? Number.NaN) - value));
  const share = (over: number): number => differences.filter((d) => !(d <= over)).length / differences.length;
  const largest = differences.reduce((most, d) => (d <= most ? most : Number.isNaN(d) ? 256 : d), 0);
  compare.error(`${output}: levels`, largest, levels);
  if (shareBeyondOne !== undefined)
    compare.error(`${output}: share of values off by more than 1 level`, share(1), shareBeyondOne);
  if (shareDifferent !== undefined) compare.error(`${output}: share of values that differ`, share(0), shareDifferent);
}
