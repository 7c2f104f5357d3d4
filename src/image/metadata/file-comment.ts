/**
 * The comment of a JPEG (its last COM segment before the image data; ITU-T T.81, B.2.4.5) or a GIF (the comment extensions before its
 * first picture, joined by line breaks; GIF89a, 24), as Pillow gives them.
 */

import type { ImageFormat } from '../codec/image-file.ts';

/** Bytes of a comment that are read. */
const longest = 2 ** 20;

/** Not UTF-8: left out, as Python's `decode('utf8', errors='ignore')`. */
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).replaceAll('\ufffd', '');

function jpegComment(bytes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let comment: Uint8Array | undefined;
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1] as number;
    if (marker === 0xff) at++;
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else {
      const length = view.getUint16(at + 2);
      if (marker === 0xda || marker === 0xd9 || length < 2) break;
      if (marker === 0xfe) comment = bytes.subarray(at + 4, at + 2 + length);
      at += 2 + length;
    }
  }
  return comment;
}

/** Bytes of a colour table by the packed field of its owner. */
const colours = (packed: number): number => (packed & 0x80 ? 3 * 2 ** ((packed & 7) + 1) : 0);

function gifComment(bytes: Uint8Array): Uint8Array | undefined {
  const parts: number[] = [];
  let found = false;
  let at = 13 + colours(bytes[10] ?? 0);
  // 0x21 begins an extension, 0x2c the first picture.
  while (bytes[at] === 0x21 && parts.length < longest) {
    const isComment = bytes[at + 1] === 0xfe;
    if (isComment && found) parts.push(0x0a);
    if (isComment) found = true;
    at += 2;
    for (let size = bytes[at] ?? 0; size > 0; size = bytes[at] ?? 0) {
      if (isComment) parts.push(...bytes.subarray(at + 1, at + 1 + size));
      at += 1 + size;
    }
    at++;
  }
  return found ? Uint8Array.from(parts) : undefined;
}

/** Undefined if there is none. */
export function readFileComment(bytes: Uint8Array, format: ImageFormat): string | undefined {
  const comment = format === 'jpeg' ? jpegComment(bytes) : format === 'gif' ? gifComment(bytes) : undefined;
  return comment && comment.length > 0 ? decode(comment.subarray(0, longest)) : undefined;
}
