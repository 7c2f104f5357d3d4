/**
 * The three EXIF fields pictures of this kind use (CIPA DC-008; TIFF 6.0): orientation, image description, and the user comment in which
 * A1111 keeps its parameters in JPEG and WebP files (as piexif writes it: "UNICODE" and UTF-16, big-endian).
 */

export interface Exif {
  /** 1 to 8; absent where the field is missing or has another value. */
  readonly orientation?: number;
  readonly userComment?: string;
  readonly imageDescription?: string;
}

const tagDescription = 0x010e;
const tagOrientation = 0x0112;
const tagExifFolder = 0x8769;
const tagUserComment = 0x9286;

const typeSizes: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1 };

interface Entry {
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** The entries of one image file directory, those that lie within the block. */
function readFolder(block: Uint8Array, view: DataView, little: boolean, offset: number): Map<number, Entry> {
  const entries = new Map<number, Entry>();
  if (offset + 2 > block.length) return entries;
  const count = view.getUint16(offset, little);
  for (let i = 0; i < count; i++) {
    const at = offset + 2 + 12 * i;
    if (at + 12 > block.length) break;
    const type = view.getUint16(at + 2, little);
    const length = view.getUint32(at + 4, little) * (typeSizes[type] ?? 0);
    const from = length <= 4 ? at + 8 : view.getUint32(at + 8, little);
    if (length > 0 && from + length <= block.length)
      entries.set(view.getUint16(at, little), { type, bytes: block.subarray(from, from + length) });
  }
  return entries;
}

function decodeUtf16(bytes: Uint8Array, little: boolean): string {
  const units = new Uint16Array(bytes.length >> 1);
  for (let i = 0; i < units.length; i++) {
    const [a, b] = [bytes[2 * i] as number, bytes[2 * i + 1] as number];
    units[i] = little ? (b << 8) | a : (a << 8) | b;
  }
  let text = '';
  for (let i = 0; i < units.length; i += 8192) text += String.fromCharCode(...units.subarray(i, i + 8192));
  return text;
}

/** Bytes of one text that are read: a JPEG holds no more, other files rarely do. */
const longestText = 2 ** 20;

const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Without the zero bytes at the end, in units of one or two bytes. */
function withoutNuls(bytes: Uint8Array, unit: 1 | 2 = 1): Uint8Array {
  let end = bytes.length - (bytes.length % unit);
  while (end >= unit && bytes[end - 1] === 0 && bytes[end - unit] === 0) end -= unit;
  return bytes.subarray(0, end);
}

/** Letters and what follows words: what is read in a wrong encoding rarely has them. */
const words = /[A-Za-z]{3}[ ,:]/;

/** Characters that people write. What UTF-16 gives in the wrong byte order mostly has others: controls, private and rare ones, halves of pairs. */
const written =
  /[\t\n\r -~\u00a0-\u05ff\u0600-\u06ff\u0900-\u0dff\u0e00-\u0eff\u10a0-\u10ff\u1e00-\u1fff\u2000-\u206f\u20a0-\u20bf\u2190-\u21ff\u2460-\u24ff\u2500-\u27bf\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef\p{Emoji}\p{Variation_Selector}]/gu;

const unusual = (text: string): number => text.replace(written, '').length;

/** What no text has: controls, private characters, halves of pairs. */
const impossible = /(?![\t\n\r])[\p{Cc}\p{Co}\p{Cn}\p{Cs}]/u;

/** Text in UTF-8 where UTF-16 is meant: an odd length, words with what follows words, or several characters beyond ASCII. A few letters may be both. */
function asUtf8(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (/[\0-\x08\x0b\x0c\x0e-\x1f]/.test(text)) return undefined;
    const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
    const beyond = count(/[^\0-\x7f]/gu);
    const isMeant = beyond >= 3 || (beyond > 0 && count(/[A-Za-z ]/g) >= 6);
    return bytes.length % 2 === 1 || isMeant || words.test(text) ? text : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The text of a "UNICODE" comment. EXIF 2 means UCS-2 in the byte order of the block, but writers differ: piexif writes big-endian always,
 * others UTF-8. A byte order mark tells, else what the other order, or UTF-8, would give tells.
 */
function decodeUnicode(bytes: Uint8Array, littleBlock: boolean): string {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return utf8(withoutNuls(bytes.subarray(3)));
  const mark = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
  if (mark === 0xfeff || mark === 0xfffe) return decodeUtf16(withoutNuls(bytes.subarray(2), 2), mark === 0xfffe);
  const body = withoutNuls(bytes, 2);
  const plain = body.includes(0) ? undefined : asUtf8(withoutNuls(bytes));
  if (plain !== undefined) return plain;
  const [own, other] = [decodeUtf16(body, littleBlock), decodeUtf16(body, !littleBlock)];
  if (body.length >= 4 && /^[\t\n\r -~]*$/.test(other)) return other;
  if (words.test(other) && !words.test(own)) return other;
  // Most comments in big-endian blocks are piexif's, which are right.
  if (!littleBlock) return impossible.test(own) && !impossible.test(other) ? other : own;
  return unusual(other) < unusual(own) ? other : own;
}

/** A user comment by its eight-byte character code. */
function decodeUserComment(bytes: Uint8Array, littleBlock: boolean): string {
  const code = utf8(withoutNuls(bytes.subarray(0, 8)));
  const body = bytes.subarray(8, 8 + longestText);
  if (code.trim().toUpperCase() === 'UNICODE') return decodeUnicode(body, littleBlock);
  if (code === 'JIS' && body.includes(0x1b)) return new TextDecoder('iso-2022-jp').decode(withoutNuls(body));
  if (code === 'ASCII' || code === 'JIS' || code === '') return utf8(withoutNuls(body));
  return utf8(withoutNuls(bytes.subarray(0, longestText)));
}

/** Reads an EXIF block (TIFF header first, with or without "Exif\0\0" before it). Damage means absent fields, never an error. */
export function readExif(bytes: Uint8Array): Exif {
  const prefixed = bytes[0] === 0x45 && bytes[1] === 0x78 && bytes[2] === 0x69 && bytes[3] === 0x66;
  const block = prefixed ? bytes.subarray(6) : bytes;
  if (block.length < 8) return {};
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const order = view.getUint16(0);
  const little = order === 0x4949;
  if ((!little && order !== 0x4d4d) || view.getUint16(2, little) !== 42) return {};

  const main = readFolder(block, view, little, view.getUint32(4, little));
  const number = ({ type, bytes: field }: Entry): number => {
    const value = new DataView(field.buffer, field.byteOffset, field.byteLength);
    return type === 3 ? value.getUint16(0, little) : type === 4 ? value.getUint32(0, little) : 0;
  };
  const commentText = ({ type, bytes: field }: Entry): string =>
    type === 2 ? utf8(withoutNuls(field.subarray(0, longestText))) : decodeUserComment(field, little);
  const orientation = main.get(tagOrientation);
  const turn = orientation ? number(orientation) : 0;
  const folder = main.get(tagExifFolder);
  // Fooocus writes it into the main folder, as a text.
  const comment =
    (folder && readFolder(block, view, little, number(folder)).get(tagUserComment)) ?? main.get(tagUserComment);
  const description = main.get(tagDescription);
  return {
    ...(turn >= 1 && turn <= 8 ? { orientation: turn } : {}),
    ...(comment && comment.bytes.length >= 8 ? { userComment: commentText(comment) } : {}),
    ...(description ? { imageDescription: utf8(withoutNuls(description.bytes.subarray(0, longestText))) } : {}),
  };
}

/** An EXIF block (TIFF header first, big-endian) with a user comment as A1111 writes it, and a description in UTF-8. */
export function writeExif({
  userComment,
  imageDescription,
}: Pick<Exif, 'userComment' | 'imageDescription'>): Uint8Array {
  const description = imageDescription === undefined ? undefined : new TextEncoder().encode(`${imageDescription}\0`);
  let comment: Uint8Array | undefined;
  if (userComment !== undefined) {
    comment = new Uint8Array(8 + 2 * userComment.length);
    comment.set(new TextEncoder().encode('UNICODE'));
    for (let i = 0; i < userComment.length; i++) {
      const unit = userComment.charCodeAt(i);
      comment[8 + 2 * i] = unit >> 8;
      comment[9 + 2 * i] = unit & 0xff;
    }
  }
  const mainCount = (description ? 1 : 0) + (comment ? 1 : 0);
  const folderOffset = 8 + 2 + 12 * mainCount + 4;
  const dataOffset = folderOffset + (comment ? 2 + 12 + 4 : 0);
  const commentOffset =
    dataOffset + (description && description.length > 4 ? description.length + (description.length & 1) : 0);
  const out = new Uint8Array(commentOffset + (comment?.length ?? 0));
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x4d4d002a);
  view.setUint32(4, 8);
  view.setUint16(8, mainCount);
  let at = 10;
  const entry = (tag: number, type: number, count: number, offset: number) => {
    view.setUint16(at, tag);
    view.setUint16(at + 2, type);
    view.setUint32(at + 4, count);
    view.setUint32(at + 8, offset);
    at += 12;
  };
  if (description) {
    entry(tagDescription, 2, description.length, dataOffset);
    out.set(description, description.length > 4 ? dataOffset : at - 4);
    if (description.length <= 4) out.fill(0, at - 4 + description.length, at);
  }
  if (comment) {
    entry(tagExifFolder, 4, 1, folderOffset);
    at = folderOffset;
    view.setUint16(at, 1);
    at += 2;
    entry(tagUserComment, 7, comment.length, commentOffset);
    out.set(comment, commentOffset);
  }
  return out;
}
