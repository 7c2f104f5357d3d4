/** An EXIF block (TIFF 6.0) of texts by their tags, as Pillow writes a dictionary of them: ComfyUI's pictures in WebP keep their graph so. */

/** Big-endian, one directory, its entries by rising tags. Texts are UTF-8 with a zero byte at their end. */
export function exifOfTexts(texts: ReadonlyMap<number, string>): Uint8Array {
  const entries = [...texts]
    .sort(([a], [b]) => a - b)
    .map(([tag, text]) => ({ tag, bytes: new TextEncoder().encode(`${text}\0`) }));
  const start = 8 + 2 + 12 * entries.length + 4;
  const length = entries.reduce((sum, { bytes }) => sum + bytes.length + (bytes.length & 1), start);
  const out = new Uint8Array(length);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x4d4d002a);
  view.setUint32(4, 8);
  view.setUint16(8, entries.length);
  let data = start;
  for (const [i, { tag, bytes }] of entries.entries()) {
    const at = 10 + 12 * i;
    view.setUint16(at, tag);
    view.setUint16(at + 2, 2);
    view.setUint32(at + 4, bytes.length);
    // Four bytes lie in the entry itself.
    if (bytes.length <= 4) out.set(bytes, at + 8);
    else {
      view.setUint32(at + 8, data);
      out.set(bytes, data);
      data += bytes.length + (bytes.length & 1);
    }
  }
  return out;
}
