/** Every frame of a picture with its transparency, upright, as Pillow opens it: for programs that take animations as batches, and masks from alpha. */

import sharp, { type OutputInfo } from 'sharp';
import { StableDiffusionError } from '../../errors.ts';
import { createImage } from '../image.ts';
import type { Frames } from './frames.ts';
import { withoutPngText } from '../metadata/png-chunks.ts';
import { defaultMaxPixels, inspectImageFile } from './image-file.ts';

/** Frames of one animation; more are an accident, or an attack. */
const mostFrames = 4096;

/** Throws `file-corrupt`, `file-truncated`, `file-unsupported` and `too-large` as `inspectImageFile`. */
export async function decodeFrames(bytes: Uint8Array, maxPixels: number = defaultMaxPixels): Promise<Frames> {
  const { format } = inspectImageFile(bytes, maxPixels);
  try {
    const source = sharp(format === 'png' ? withoutPngText(bytes) : bytes, {
      failOn: 'error',
      limitInputPixels: maxPixels,
      ignoreIcc: true,
      animated: true,
    });
    const { pages = 1, hasAlpha, space, depth } = await source.metadata();
    if (pages > mostFrames)
      throw new StableDiffusionError(
        'too-large',
        `The picture has ${pages} frames, and at most ${mostFrames} are read.`,
      );
    if (depth === 'ushort' && space === 'grey16')
      return wideGrey(
        await source.toColourspace('grey16').raw({ depth: 'ushort' }).toBuffer({ resolveWithObject: true }),
      );
    const upright = pages === 1 ? source.autoOrient() : source;
    const { data, info } = await upright
      .toColourspace('srgb')
      .ensureAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const height = info.pageHeight ?? info.height / pages;
    const size = info.width * height * 4;
    const frames = Array.from({ length: Math.max(1, Math.round(data.length / size)) }, (_, i) =>
      // Views: a copy would take the memory of all frames again.
      createImage(info.width, height, 4, new Uint8Array(data.buffer, data.byteOffset + i * size, size)),
    );
    const isSeen = frames.some((frame) => frame.data.some((value, i) => i % 4 === 3 && value < 255));
    return { frames, hasAlpha: format === 'gif' ? isSeen : hasAlpha };
  } catch (cause) {
    if (cause instanceof StableDiffusionError) throw cause;
    throw new StableDiffusionError(
      'file-corrupt',
      `The ${format.toUpperCase()} image cannot be decoded. It is damaged; get it again.`,
      { cause },
    );
  }
}

/** Sixteen bits of grey are cut to 255, as Pillow does. */
function wideGrey({ data, info }: { readonly data: Buffer; readonly info: OutputInfo }): Frames {
  const { width, height, channels } = info;
  const values = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  const out = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) out.fill(Math.min(255, values[i * channels] as number), i * 4, i * 4 + 3);
  return { frames: [createImage(width, height, 4, out)], hasAlpha: false };
}
