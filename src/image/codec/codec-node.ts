/** ImageCodec for Node, by sharp (libvips). */

import sharp from 'sharp';
import { StableDiffusionError } from '../../errors.ts';
import type { DecodeOptions, EncodeOptions, ImageCodec } from './codec.ts';
import { checkEncode } from './check-encode.ts';
import { finishDecode } from './decoded-pixels.ts';
import { flatten, type Image } from '../image.ts';
import { defaultMaxPixels, inspectImageFile } from './image-file.ts';
import { writeImageMetadata } from '../metadata/image-metadata.ts';
import { encodePngFile, pngChunks, withoutPngText } from '../metadata/png-chunks.ts';

/** Without a profile, as Pillow: each ink takes its share of what black leaves. */
function cmykToRgb(inks: Uint8Array): Uint8Array {
  const out = new Uint8Array((inks.length / 4) * 3);
  for (let from = 0, to = 0; from < inks.length; from += 4) {
    const light = 255 - (inks[from + 3] as number);
    for (let c = 0; c < 3; c++) out[to++] = light - Math.round(((inks[from + c] as number) * light) / 255);
  }
  return out;
}

async function decode(bytes: Uint8Array, options: DecodeOptions = {}): Promise<Image<3 | 4>> {
  const maxPixels = options.maxPixels ?? defaultMaxPixels;
  const file = inspectImageFile(bytes, maxPixels);
  try {
    const picture = sharp(file.format === 'png' ? withoutPngText(bytes) : bytes, {
      failOn: 'error',
      limitInputPixels: maxPixels,
      ignoreIcc: true,
      pages: 1,
    });
    const cmyk = file.format === 'jpeg' && (await picture.metadata()).space === 'cmyk';
    if (cmyk) picture.pipelineColourspace('cmyk').toColourspace('cmyk');
    const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
    const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return finishDecode(
      cmyk ? cmykToRgb(pixels) : pixels,
      info.width,
      info.height,
      cmyk ? 3 : info.channels,
      file,
      options,
    );
  } catch (cause) {
    if (cause instanceof StableDiffusionError) throw cause;
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause);
    throw new StableDiffusionError(
      'file-corrupt',
      `The ${file.format.toUpperCase()} image cannot be decoded: ${reason}. It is damaged; get it again.`,
      { cause },
    );
  }
}

/** A PNG without the resolution in dots per metre that libvips states and nobody asked for; Pillow's files have none. */
function withoutDensity(file: Uint8Array): Uint8Array {
  const kept = [...pngChunks(file)].filter(({ type }) => type !== 'pHYs');
  return encodePngFile(kept.map(({ offset, data }) => file.subarray(offset, offset + 12 + data.length)));
}

async function encode(image: Image, options: EncodeOptions): Promise<Uint8Array> {
  checkEncode(options);
  const { width, height, channels, data } = options.format === 'jpeg' && image.channels === 4 ? flatten(image) : image;
  const picture = sharp(data, { raw: { width, height, channels } });
  // Level 4 of zlib's 9: a fortieth larger than with the usual 6, in little more than half the time.
  if (options.format === 'png') picture.png({ adaptiveFiltering: true, compressionLevel: 4 });
  else if (options.format === 'jpeg') picture.jpeg({ quality: options.quality ?? 90 });
  else picture.webp({ quality: options.quality ?? 90, lossless: options.lossless ?? false, exact: true });
  const made = new Uint8Array(await picture.toBuffer());
  const file = options.format === 'png' ? withoutDensity(made) : made;
  return options.metadata ? writeImageMetadata(file, options.metadata) : file;
}

export const nodeImageCodec: ImageCodec = { decode, encode };
