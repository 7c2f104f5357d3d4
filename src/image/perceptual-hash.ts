/**
 * Perceptual hash of a picture, as imagehash's `phash` (Johannes Buchner) with its defaults: the picture in grey at 32x32, its discrete cosine
 * transform, and of the 8x8 lowest frequencies one bit each: whether it lies above their median.
 */

import { type Image, toGrey } from './image.ts';
import { resize } from './resize.ts';

const side = 32;
const kept = 8;

/** DCT-II as scipy's, without normalisation: 2 cos(pi k (2n + 1) / 2N), for the kept k. */
const cosines = Float64Array.from(
  { length: kept * side },
  (_, i) => 2 * Math.cos((Math.PI * Math.floor(i / side) * (2 * (i % side) + 1)) / (2 * side)),
);

/** What is smaller is rounding: a picture of one colour has no frequency but the lowest. */
const rounding = 1e-6;

/** The lowest frequencies [8, 8] of pixels [32, 32], row by row. */
function lowFrequencies(pixels: Uint8Array): Float64Array {
  const columns = new Float64Array(kept * side);
  for (let k = 0; k < kept; k++)
    for (let x = 0; x < side; x++) {
      let sum = 0;
      for (let y = 0; y < side; y++) sum += (cosines[k * side + y] as number) * (pixels[y * side + x] as number);
      columns[k * side + x] = sum;
    }
  return Float64Array.from({ length: kept * kept }, (_, i) => {
    const [k, l] = [Math.floor(i / kept), i % kept];
    let sum = 0;
    for (let x = 0; x < side; x++) sum += (cosines[l * side + x] as number) * (columns[k * side + x] as number);
    return Math.abs(sum) < rounding ? 0 : sum;
  });
}

/** 64 bits as 16 hexadecimal digits, the same as `str(imagehash.phash(picture))`. Alpha is ignored. */
export function perceptualHash(image: Image): string {
  const values = lowFrequencies(resize(toGrey(image), side, side, 'lanczos').data as Uint8Array);
  const sorted = values.slice().sort();
  const half = values.length / 2;
  const median = ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
  const bits = Array.from(values, (value) => (value > median ? '1' : '0')).join('');
  return (bits.match(/.{4}/g) ?? []).map((four) => Number.parseInt(four, 2).toString(16)).join('');
}
