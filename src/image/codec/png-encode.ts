/** Writing PNG files without a platform's encoder: 8 bits a channel, each row by the filter of least sum of magnitudes (ISO/IEC 15948, 12.7). */

import type { Image } from '../image.ts';
import { encodePngChunk, encodePngFile } from '../metadata/png-chunks.ts';

const colourTypes = { 1: 0, 3: 2, 4: 6 } as const;

function paeth(left: number, up: number, corner: number): number {
  const byLeft = Math.abs(up - corner);
  const byUp = Math.abs(left - corner);
  const byCorner = Math.abs(left + up - 2 * corner);
  return byLeft <= byUp && byLeft <= byCorner ? left : byUp <= byCorner ? up : corner;
}

const filters: readonly ((left: number, up: number, corner: number) => number)[] = [
  () => 0,
  (left) => left,
  (_, up) => up,
  (left, up) => (left + up) >> 1,
  paeth,
];

/** Rows, each with its filter's number before it. */
function filterRows({ width, height, channels, data }: Image): Uint8Array<ArrayBuffer> {
  const stride = width * channels;
  const out = new Uint8Array(height * (stride + 1));
  const candidate = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const row = y * stride;
    let least = Number.POSITIVE_INFINITY;
    for (const [number, predict] of filters.entries()) {
      let sum = 0;
      for (let i = 0; i < stride; i++) {
        const left = i >= channels ? (data[row + i - channels] as number) : 0;
        const up = y > 0 ? (data[row - stride + i] as number) : 0;
        const corner = y > 0 && i >= channels ? (data[row - stride + i - channels] as number) : 0;
        const rest = ((data[row + i] as number) - predict(left, up, corner)) & 255;
        candidate[i] = rest;
        sum += rest < 128 ? rest : 256 - rest;
      }
      if (sum >= least) continue;
      least = sum;
      out[y * (stride + 1)] = number;
      out.set(candidate, y * (stride + 1) + 1);
    }
  }
  return out;
}

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The bytes of a PNG file. */
export async function encodePng(image: Image): Promise<Uint8Array> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, image.width);
  view.setUint32(4, image.height);
  header[8] = 8;
  header[9] = colourTypes[image.channels];
  const data = await deflate(filterRows(image));
  return encodePngFile([
    encodePngChunk('IHDR', header),
    encodePngChunk('IDAT', data),
    encodePngChunk('IEND', new Uint8Array(0)),
  ]);
}
