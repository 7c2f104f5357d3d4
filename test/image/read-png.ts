/** Reads a PNG for tests with sharp directly, deliberately apart from the library's codec, so that the two check each other. */

import sharp from 'sharp';
import { createImage, type Image } from '../../src/image/image.ts';

/** RGB pixels as stored; alpha is kept as a fourth channel. */
export async function readPng(path: string): Promise<Image> {
  const { data, info } = await sharp(path, { ignoreIcc: true }).raw().toBuffer({ resolveWithObject: true });
  return createImage(info.width, info.height, info.channels as 1 | 3 | 4, new Uint8Array(data));
}

/** Largest difference of two images in levels, and the share of values that differ; Infinity where sizes differ. */
export function imageDifference(got: Image, want: Image): { readonly levels: number; readonly share: number } {
  if (got.width !== want.width || got.height !== want.height || got.channels !== want.channels)
    return { levels: Number.POSITIVE_INFINITY, share: 1 };
  let levels = 0;
  let different = 0;
  for (let i = 0; i < want.data.length; i++) {
    const difference = Math.abs((got.data[i] as number) - (want.data[i] as number));
    if (difference > 0) different++;
    if (difference > levels) levels = difference;
  }
  return { levels, share: different / want.data.length };
}
