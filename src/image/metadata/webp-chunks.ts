/** Putting an EXIF chunk into a WebP file (RFC 9649): a simple file becomes an extended one, with a VP8X header before its image. */

import { StableDiffusionError } from '../../errors.ts';
import { inspectImageFile } from '../codec/image-file.ts';

/** The bytes of one chunk: type, length, data, a zero byte behind an odd length. */
export function webpChunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(8 + data.length + (data.length & 1));
  for (let i = 0; i < 4; i++) out[i] = type.charCodeAt(i);
  new DataView(out.buffer).setUint32(4, data.length, true);
  out.set(data, 8);
  return out;
}

/** The chunks of a file in order. */
export function* webpChunks(bytes: Uint8Array): Generator<readonly [type: string, data: Uint8Array]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = Math.min(bytes.length, 8 + view.getUint32(4, true));
  for (let offset = 12; offset + 8 <= end; ) {
    const type = String.fromCharCode(...bytes.subarray(offset, offset + 4));
    const data = bytes.slice(offset + 8, offset + 8 + view.getUint32(offset + 4, true));
    offset += 8 + data.length + (data.length & 1);
    yield [type, data];
  }
}

/** A whole file from its encoded chunks. */
export function webpFile(chunks: readonly Uint8Array[]): Uint8Array {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 4);
  const out = new Uint8Array(8 + length);
  out.set(new TextEncoder().encode('RIFF\0\0\0\0WEBP'));
  new DataView(out.buffer).setUint32(4, length, true);
  let offset = 12;
  for (const chunk of chunks) {
    out.set(chunk, offset);
    offset += chunk.length;
  }
  return out;
}

const exifFlag = 0x08;
const alphaFlag = 0x10;

/** A copy of the file with `block` as its EXIF chunk, replacing an existing one. Throws `file-corrupt` if the file is not a WebP. */
export function writeWebpExif(bytes: Uint8Array, block: Uint8Array): Uint8Array {
  const { format, width, height } = inspectImageFile(bytes, Number.POSITIVE_INFINITY);
  if (format !== 'webp') throw new StableDiffusionError('file-corrupt', 'The file is not a WebP image.');
  const parts: Uint8Array[] = [];
  let header: Uint8Array | undefined;
  let alpha = false;
  for (const [type, data] of webpChunks(bytes)) {
    if (type === 'VP8X') header = data;
    else if (type !== 'EXIF') {
      if (type === 'VP8L') alpha ||= ((data[4] ?? 0) & 0x10) !== 0;
      parts.push(webpChunk(type, data));
    }
  }
  if (!header) {
    header = new Uint8Array(10);
    const sizes = new DataView(header.buffer);
    header[0] = alpha ? alphaFlag : 0;
    sizes.setUint16(4, (width - 1) & 0xffff, true);
    header[6] = (width - 1) >> 16;
    sizes.setUint16(7, (height - 1) & 0xffff, true);
    header[9] = (height - 1) >> 16;
  }
  header[0] = (header[0] ?? 0) | exifFlag;
  return webpFile([webpChunk('VP8X', header), ...parts, webpChunk('EXIF', block)]);
}
