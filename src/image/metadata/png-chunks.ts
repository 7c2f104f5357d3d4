/** Chunks of a PNG file (ISO/IEC 15948, section 5): walking, checking and writing them. No pixel is decoded here. */

import { StableDiffusionError } from '../../errors.ts';

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] as const;

/** Chunks of one file. Pixels of 8192 x 8192 in chunks of 8 KB take a third of them. */
const mostChunks = 2 ** 16;

export interface PngChunk {
  /** Four letters: IHDR, IDAT, tEXt, … */
  readonly type: string;
  /** Offset of the chunk (its length field) in the file. */
  readonly offset: number;
  /** A view into the file. */
  readonly data: Uint8Array;
  /** Name and data, which the checksum is of; a view into the file. */
  readonly checked: Uint8Array;
  /** The checksum stored after the data. */
  readonly crc: number;
}

export function isPng(bytes: Uint8Array): boolean {
  return signature.every((byte, i) => bytes[i] === byte);
}

const crcTable = /* @__PURE__ */ Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let k = 0; k < 8; k++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** CRC-32 of annex D. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crcTable[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** True if the stored checksum matches the chunk's name and data. */
export function isIntact(chunk: PngChunk): boolean {
  return crc32(chunk.checked) === chunk.crc;
}

/**
 * The chunks in order, up to and with IEND; what follows it is ignored. Checksums are not compared (`isIntact` does that).
 *
 * Throws `file-corrupt` if the bytes are not a PNG or a chunk has an invalid type, `file-truncated` if the file ends within a chunk or
 * before IEND, `too-large` for very many chunks.
 */
export function* pngChunks(bytes: Uint8Array): Generator<PngChunk> {
  if (!isPng(bytes))
    throw new StableDiffusionError('file-corrupt', 'The file is not a PNG: it lacks the eight-byte signature.');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = signature.length;
  for (let count = 1; ; count++) {
    if (count > mostChunks)
      throw new StableDiffusionError(
        'too-large',
        `The PNG has more than ${mostChunks} chunks. Save it again with another program.`,
      );
    if (offset + 12 > bytes.length) throw truncated(bytes.length);
    const length = view.getUint32(offset);
    const type = String.fromCharCode(...bytes.subarray(offset + 4, offset + 8));
    if (!/^[A-Za-z]{4}$/.test(type))
      throw new StableDiffusionError(
        'file-corrupt',
        `The PNG has a chunk without a proper name at byte ${offset}. It is damaged; get it again.`,
      );
    if (offset + 12 + length > bytes.length) throw truncated(bytes.length, type, length);
    yield {
      type,
      offset,
      data: bytes.subarray(offset + 8, offset + 8 + length),
      checked: bytes.subarray(offset + 4, offset + 8 + length),
      crc: view.getUint32(offset + 8 + length),
    };
    if (type === 'IEND') return;
    offset += 12 + length;
  }
}

function truncated(size: number, type?: string, length?: number): StableDiffusionError {
  const where = type ? `within its ${type} chunk of ${length} bytes` : 'before its IEND chunk';
  return new StableDiffusionError(
    'file-truncated',
    `The PNG ends after ${size} bytes, ${where}. It is truncated; get it again.`,
  );
}

/** The bytes of one chunk: length, type, data, checksum. */
export function encodePngChunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

/** The file without its texts, which a decoder of pixels would inflate: a small file may hold 50 MB of them in each. */
export function withoutPngText(bytes: Uint8Array): Uint8Array {
  const chunks = [...pngChunks(bytes)];
  const kept = chunks.filter(({ type }) => type !== 'tEXt' && type !== 'zTXt' && type !== 'iTXt');
  if (kept.length === chunks.length) return bytes;
  return encodePngFile(kept.map(({ offset, data }) => bytes.subarray(offset, offset + 12 + data.length)));
}

/** A whole file from its encoded chunks. */
export function encodePngFile(chunks: readonly Uint8Array[]): Uint8Array {
  let length: number = signature.length;
  for (const chunk of chunks) length += chunk.length;
  const out = new Uint8Array(length);
  out.set(signature);
  let offset = signature.length;
  for (const chunk of chunks) {
    out.set(chunk, offset);
    offset += chunk.length;
  }
  return out;
}
