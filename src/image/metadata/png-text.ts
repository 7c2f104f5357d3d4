/**
 * Text in PNG files: tEXt, zTXt and iTXt chunks (ISO/IEC 15948, 11.3.3), read with limits and written as Pillow's `PngInfo.add_text` does:
 * tEXt where Latin-1 is enough, else iTXt. The pixels are not touched.
 */

import { Unzlib } from 'fflate';
import { StableDiffusionError } from '../../errors.ts';
import { encodePngChunk, encodePngFile, isIntact, pngChunks } from './png-chunks.ts';

export interface PngTextLimits {
  /** Bytes of one text, inflated. Default 1 MiB, as Pillow's MAX_TEXT_CHUNK. */
  readonly maxTextBytes?: number;
  /** Bytes inflated or kept, of all texts together. Default 8 MiB. */
  readonly maxTotalBytes?: number;
}

/** A text that was left out, and why. */
export interface DroppedText {
  readonly keyword: string;
  readonly reason: string;
}

export interface PngText {
  /** By keyword, the last of a keyword winning. */
  readonly texts: ReadonlyMap<string, string>;
  readonly dropped: readonly DroppedText[];
}

/** Real Latin-1: byte n is U+00n, unlike the windows-1252 that `TextDecoder('latin1')` means. */
function fromLatin1(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return text;
}

const isLatin1 = (text: string): boolean => !/[^\0-\xff]/.test(text);
const toLatin1 = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/**
 * Inflates a zlib stream, in pieces so that a small one cannot expand without bound; undefined when `limit` is exceeded. `spend` is called with all
 * that was inflated, kept or not. Throws what fflate throws on damage.
 */
function inflateWithin(deflated: Uint8Array, limit: number, spend: (bytes: number) => void): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  let total = 0;
  const stream = new Unzlib((part) => {
    total += part.length;
    spend(part.length);
    if (total <= limit) parts.push(part);
  });
  const step = 1024; // at most about a megabyte inflated
  for (let at = 0; at < deflated.length && total <= limit; at += step)
    stream.push(deflated.subarray(at, at + step), at + step >= deflated.length);
  if (total > limit) return undefined;
  const out = new Uint8Array(total);
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

interface Field {
  readonly keyword: string;
  readonly compressed: boolean;
  readonly utf8: boolean;
  readonly body: Uint8Array;
}

/** Splits a text chunk; a string is the reason why it cannot be. */
function splitField(type: string, data: Uint8Array): Field | DroppedText {
  const end = data.indexOf(0);
  const keyword = fromLatin1(data.subarray(0, end < 0 ? Math.min(79, data.length) : Math.min(79, end)));
  if (end < 1 || end > 79) return { keyword, reason: `its ${type} chunk has no keyword of 1 to 79 bytes` };
  if (type === 'tEXt') return { keyword, compressed: false, utf8: false, body: data.subarray(end + 1) };
  if (type === 'zTXt') {
    if (data[end + 1] !== 0)
      return { keyword, reason: `its zTXt chunk has the unknown compression method ${data[end + 1]}` };
    return { keyword, compressed: true, utf8: false, body: data.subarray(end + 2) };
  }
  const flag = data[end + 1];
  const language = data.indexOf(0, end + 3);
  const translated = language < 0 ? -1 : data.indexOf(0, language + 1);
  if (translated < 0 || (flag !== 0 && flag !== 1) || (flag === 1 && data[end + 2] !== 0))
    return { keyword, reason: 'its iTXt chunk is malformed' };
  return { keyword, compressed: flag === 1, utf8: true, body: data.subarray(translated + 1) };
}

/**
 * The texts of a PNG. A chunk that is malformed, fails its checksum or inflates beyond the limits is named in `dropped`, not an error.
 *
 * Throws `file-corrupt` or `file-truncated` if the file is not a complete PNG.
 */
export function readPngText(bytes: Uint8Array, limits: PngTextLimits = {}): PngText {
  const { maxTextBytes = 2 ** 20, maxTotalBytes = 2 ** 23 } = limits;
  const texts = new Map<string, string>();
  const dropped: DroppedText[] = [];
  /** Charged for what is inflated or kept: texts that are dropped cost time too. */
  let spent = 0;
  for (const chunk of pngChunks(bytes)) {
    const { type, data } = chunk;
    if (type !== 'tEXt' && type !== 'zTXt' && type !== 'iTXt') continue;
    const field = splitField(type, data);
    if ('reason' in field) {
      dropped.push(field);
      continue;
    }
    const { keyword } = field;
    const drop = (reason: string) => dropped.push({ keyword, reason });
    if (!isIntact(chunk)) {
      drop('its checksum is wrong');
      continue;
    }
    const room = Math.max(0, Math.min(maxTextBytes, maxTotalBytes - spent));
    let body: Uint8Array | undefined = field.body;
    try {
      const spend = (bytes: number): void => {
        spent += bytes;
      };
      if (field.compressed) body = room > 0 ? inflateWithin(body, room, spend) : undefined;
      else spent += body.length;
      if (!body || body.length > room) {
        drop(`it is longer than the limit of ${room} bytes`);
        continue;
      }
      texts.set(
        keyword,
        field.utf8 ? new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body) : fromLatin1(body),
      );
    } catch {
      drop(field.utf8 ? 'it cannot be inflated, or is not UTF-8' : 'it cannot be inflated');
    }
  }
  return { texts, dropped };
}

function encodeText(keyword: string, text: string): Uint8Array {
  if (keyword.length < 1 || keyword.length > 79 || !/^[\x20-\x7e\xa1-\xff]+$/.test(keyword)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `"${keyword}" cannot be the keyword of a PNG text. It must have 1 to 79 printable Latin-1 characters.`,
    );
  }
  const clean = text.replaceAll('\0', ' '); // the format has no way to hold it
  if (isLatin1(clean)) return encodePngChunk('tEXt', toLatin1(`${keyword}\0${clean}`));
  const body = new TextEncoder().encode(clean);
  const head = toLatin1(`${keyword}\0\0\0\0\0`); // not compressed, no language, no translated keyword
  const data = new Uint8Array(head.length + body.length);
  data.set(head);
  data.set(body, head.length);
  return encodePngChunk('iTXt', data);
}

/** A copy of the PNG with these texts after its IHDR, in place of any of the same keywords. NUL becomes a space. Errors as `readPngText`. */
export function writePngText(bytes: Uint8Array, texts: Iterable<readonly [keyword: string, text: string]>): Uint8Array {
  const fresh = new Map(texts);
  const chunks: Uint8Array[] = [];
  for (const { type, offset, data } of pngChunks(bytes)) {
    if (type === 'tEXt' || type === 'zTXt' || type === 'iTXt') {
      const field = splitField(type, data);
      if (fresh.has(field.keyword)) continue;
    }
    chunks.push(bytes.subarray(offset, offset + 12 + data.length));
    if (type === 'IHDR') for (const [keyword, text] of fresh) chunks.push(encodeText(keyword, text));
  }
  return encodePngFile(chunks);
}
