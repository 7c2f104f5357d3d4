/**
 * Facts about an image file from its bytes, without decoding: format (by content, never by name), size, EXIF block, and whether
 * it is whole. Decoders are only given files that pass, so that limits are enforced before memory is spent, on every platform alike.
 */

import { StableDiffusionError } from '../../errors.ts';
import { isIntact, isPng, pngChunks } from '../metadata/png-chunks.ts';

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif';

export interface ImageFile {
  readonly format: ImageFormat;
  /** Pixels, as stored (before orientation). */
  readonly width: number;
  readonly height: number;
  /** The EXIF block, if there is one; a view into the file. */
  readonly exif?: Uint8Array;
}

/** 8192 x 8192. */
export const defaultMaxPixels = 2 ** 26;

const corrupt = (message: string) =>
  new StableDiffusionError('file-corrupt', `${message} Give a PNG, JPEG, WebP or GIF image.`);
const cut = (format: string) =>
  new StableDiffusionError('file-truncated', `The ${format} image ends too early. It is truncated; get it again.`);

const ascii = (bytes: Uint8Array, offset: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(offset, offset + length));

/** The name of a format that is known and not read, by how its files begin. */
function unsupportedFormat(bytes: Uint8Array): string | undefined {
  const start = ascii(bytes, 0, 4);
  if (start === 'II*\0' || start === 'MM\0*') return 'TIFF';
  if (start.startsWith('BM')) return 'BMP';
  if (start === '8BPS') return 'Photoshop';
  if (start === '%PDF') return 'PDF';
  if (start === 'qoif') return 'QOI';
  if (ascii(bytes, 4, 4) === 'ftyp') return /^avi[fs]$/.test(ascii(bytes, 8, 4)) ? 'AVIF' : 'HEIF or video';
  if ((bytes[0] === 0xff && bytes[1] === 0x0a) || ascii(bytes, 4, 4) === 'JXL ') return 'JPEG XL';
  const text = new TextDecoder().decode(bytes.subarray(0, 1024)).trimStart().toLowerCase();
  if (text.startsWith('<svg') || (text.startsWith('<') && text.includes('<svg'))) return 'SVG';
  return undefined;
}

function inspectPng(bytes: Uint8Array): ImageFile {
  let size: { readonly width: number; readonly height: number } | undefined;
  let exif: Uint8Array | undefined;
  let hasData = false;
  for (const chunk of pngChunks(bytes)) {
    const { type, data } = chunk;
    if (!size) {
      if (type !== 'IHDR' || data.length !== 13)
        throw new StableDiffusionError(
          'file-corrupt',
          'The PNG does not start with an IHDR chunk. The file is damaged; obtain it again.',
        );
      const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
      size = { width: view.getUint32(0), height: view.getUint32(4) };
    }
    const critical = type.charCodeAt(0) < 0x60; // capital first letter
    if ((critical || type === 'eXIf') && !isIntact(chunk)) {
      if (critical)
        throw new StableDiffusionError(
          'file-corrupt',
          `The checksum of the PNG's ${type} chunk is wrong. The file is damaged; get it again.`,
        );
    } else if (type === 'eXIf') exif = data;
    if (type === 'IDAT') hasData = true;
  }
  if (!size || !hasData)
    throw new StableDiffusionError('file-corrupt', 'The PNG holds no image data. It is damaged; get it again.');
  return { format: 'png', ...size, ...(exif ? { exif } : {}) };
}

function inspectJpeg(bytes: Uint8Array): ImageFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let size: { readonly width: number; readonly height: number } | undefined;
  let exif: Uint8Array | undefined;
  let offset = 2;
  for (;;) {
    if (offset + 4 > bytes.length) throw cut('JPEG');
    if (bytes[offset] !== 0xff)
      throw new StableDiffusionError(
        'file-corrupt',
        `The JPEG has no marker at byte ${offset}, where one must be. It is damaged; get it again.`,
      );
    const marker = bytes[offset + 1] as number;
    if (marker === 0xff || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      offset += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === 0xd9)
      throw new StableDiffusionError('file-corrupt', 'The JPEG holds no image data. It is damaged; get it again.');
    const length = view.getUint16(offset + 2);
    if (length < 2)
      throw new StableDiffusionError(
        'file-corrupt',
        `The JPEG has a segment of impossible length at byte ${offset}. It is damaged; get it again.`,
      );
    if (offset + 2 + length > bytes.length) throw cut('JPEG');
    const body = bytes.subarray(offset + 4, offset + 2 + length);
    // Start of frame, all kinds; 0xc4, 0xc8 and 0xcc are tables.
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      if (body.length < 6) throw cut('JPEG');
      size = { height: view.getUint16(offset + 5), width: view.getUint16(offset + 7) };
    }
    if (marker === 0xe1 && !exif && ascii(body, 0, 6) === 'Exif\0\0') exif = body;
    offset += 2 + length;
    if (marker === 0xda) break;
  }
  if (!size)
    throw new StableDiffusionError(
      'file-corrupt',
      'The JPEG has image data before its size. It is damaged; get it again.',
    );
  checkScans(bytes, view, offset);
  return { format: 'jpeg', ...size, ...(exif ? { exif } : {}) };
}

/** Scans of one JPEG. Encoders write up to some ten; each costs a decoder a walk over all blocks (libjpeg-turbo's `-maxscans`). */
const mostScans = 100;

/**
 * Walks from the first scan to EOI. Within scans 0xff is followed by 0 or a restart marker, so any other marker ends one. Throws
 * `file-truncated`, `too-large`.
 */
function checkScans(bytes: Uint8Array, view: DataView, start: number): void {
  let scans = 1;
  for (let at = bytes.indexOf(0xff, start); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at)) {
    const marker = bytes[at + 1] as number;
    if (marker === 0xd9) return;
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker === 0 || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
      continue;
    }
    if (marker === 0xda && ++scans > mostScans)
      throw new StableDiffusionError(
        'too-large',
        `The JPEG has more than ${mostScans} scans. Save it again with another program.`,
      );
    if (at + 4 > bytes.length) break;
    at += 2 + Math.max(2, view.getUint16(at + 2));
  }
  throw cut('JPEG');
}

function inspectWebp(bytes: Uint8Array): ImageFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 8 + view.getUint32(4, true);
  if (end > bytes.length) throw cut('WebP');
  let size: { readonly width: number; readonly height: number } | undefined;
  let exif: Uint8Array | undefined;
  let hasData = false;
  for (let offset = 12; offset + 8 <= end; ) {
    const type = ascii(bytes, offset, 4);
    const length = view.getUint32(offset + 4, true);
    const body = bytes.subarray(offset + 8, offset + 8 + length);
    if (offset + 8 + length > end) throw cut('WebP');
    if (type === 'VP8X' && length >= 10)
      size ??= {
        width: 1 + (view.getUint32(offset + 12, true) & 0xffffff),
        height: 1 + (view.getUint32(offset + 14, true) >>> 8),
      };
    if (type === 'VP8 ' && length >= 10)
      size ??= {
        width: view.getUint16(offset + 14, true) & 0x3fff,
        height: view.getUint16(offset + 16, true) & 0x3fff,
      };
    if (type === 'VP8L' && length >= 5) {
      const bits = view.getUint32(offset + 9, true);
      size ??= { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
    }
    if (type === 'VP8 ' || type === 'VP8L' || type === 'ANMF') hasData = true;
    if (type === 'EXIF') exif ??= body;
    offset += 8 + length + (length & 1);
  }
  if (!size || !hasData)
    throw new StableDiffusionError('file-corrupt', 'The WebP holds no image data. It is damaged; get it again.');
  return { format: 'webp', ...size, ...(exif ? { exif } : {}) };
}

/** The format of an image file by its first bytes. */
export function imageFormatOf(bytes: Uint8Array): ImageFormat | undefined {
  if (isPng(bytes)) return 'png';
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'jpeg';
  if (bytes.length >= 16 && ascii(bytes, 0, 4) === 'RIFF' && ascii(bytes, 8, 4) === 'WEBP') return 'webp';
  return bytes.length >= 10 && /^GIF8[79]a$/.test(ascii(bytes, 0, 6)) ? 'gif' : undefined;
}

/**
 * Format, size and EXIF of an image file.
 *
 * Throws `file-corrupt` for bytes that are not an image or violate their format, `file-truncated` if they end too early, `file-unsupported` for
 * formats that are not read (TIFF, BMP, SVG, AVIF, …), `too-large` beyond `maxPixels`; nothing is decoded or allocated before.
 */
export function inspectImageFile(bytes: Uint8Array, maxPixels: number = defaultMaxPixels): ImageFile {
  if (bytes.length === 0) throw corrupt('The image file is empty.');
  let file: ImageFile;
  const format = imageFormatOf(bytes);
  if (format === 'png') file = inspectPng(bytes);
  else if (format === 'jpeg') file = inspectJpeg(bytes);
  else if (format === 'webp') file = inspectWebp(bytes);
  else if (format === 'gif') {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    file = { format: 'gif', width: view.getUint16(6, true), height: view.getUint16(8, true) };
  } else {
    const name = unsupportedFormat(bytes);
    if (name)
      throw new StableDiffusionError(
        'file-unsupported',
        `The file is in the ${name} format, which is not read. Give a PNG, JPEG, WebP or GIF image.`,
      );
    throw corrupt('The file is not an image.');
  }
  const { width, height } = file;
  if (width < 1 || height < 1)
    throw corrupt(`The ${file.format.toUpperCase()} image claims an impossible size of ${width}x${height} pixels.`);
  if (width * height > maxPixels) {
    throw new StableDiffusionError(
      'too-large',
      `The image is ${width}x${height} pixels, and at most ${maxPixels} pixels are read. Give a smaller one, or raise the limit.`,
      {
        details: { width, height, maxPixels },
      },
    );
  }
  return file;
}
