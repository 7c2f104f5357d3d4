/**
 * A1111's tiles for upscalers (modules/images.py `split_grid`, `combine_grid`; modules/upscaler_utils.py `tiled_upscale_2`): positions, the
 * 8-bit blending of ESRGAN, Real-ESRGAN and DAT, and the mean of SwinIR and ScuNET.
 */

import { type Channels, createImage, crop, type Image, paste } from '../image/image.ts';

/** Left (or top) edges of tiles of `tile` along a side of `size` with `overlap`; the last ends at the side's end. */
export function tilePositions(size: number, tile: number, overlap: number): number[] {
  const count = Math.ceil((size - overlap) / (tile - overlap));
  const step = count > 1 ? (size - tile) / (count - 1) : 0;
  return Array.from({ length: Math.max(0, count) }, (_, i) => {
    const start = Math.trunc(i * step);
    return start + tile >= size ? size - tile : start;
  });
}

/** Starts of `tiled_upscale_2`: every `tile - overlap`, and the last tile at the end. `tile` is at most `size`. */
export function strideStarts(size: number, tile: number, overlap: number): number[] {
  const starts: number[] = [];
  for (let start = 0; start < size - tile; start += tile - overlap) starts.push(start);
  return [...starts, size - tile];
}

/** Pillow's blend of two bytes by a third: (a · (255 - mask) + b · mask) / 255, rounded. */
function blend(a: number, b: number, mask: number): number {
  const sum = a * (255 - mask) + b * mask + 128;
  return ((sum >> 8) + sum) >> 8;
}

/** Pastes `source`, fading in over its first `overlap` rows or columns. Changes `target`. */
function fadeIn<C extends Channels>(
  target: Image<C>,
  source: Image<C>,
  along: 'columns' | 'rows',
  at: number,
  overlap: number,
): void {
  const { channels } = target;
  const columns = along === 'columns';
  const faded = Math.min(overlap, columns ? source.width : source.height);
  const height = columns ? source.height : faded;
  const width = columns ? faded : source.width;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [toX, toY] = columns ? [at + x, y] : [x, at + y];
      if (toX < 0 || toY < 0 || toX >= target.width || toY >= target.height) continue;
      const mask = Math.trunc(Math.fround(Math.fround((columns ? x : y) * 255) / overlap));
      for (let c = 0; c < channels; c++) {
        const to = (toY * target.width + toX) * channels + c;
        target.data[to] = blend(
          target.data[to] as number,
          source.data[(y * source.width + x) * channels + c] as number,
          mask,
        );
      }
    }
  const rest = columns
    ? [faded, 0, source.width - faded, source.height]
    : [0, faded, source.width, source.height - faded];
  const [left = 0, top = 0, w = 0, h = 0] = rest;
  if (w < 1 || h < 1) return;
  const [toX, toY] = columns ? [at + faded, 0] : [0, at + faded];
  paste(target, crop(source, left, top, w, h), toX, toY);
}

/** The picture through `make`, tile by tile, which enlarges each by `scale`. `tile` 0 turns tiling off. */
export async function upscaleInGrid(
  image: Image<3>,
  { tile, overlap, scale }: { readonly tile: number; readonly overlap: number; readonly scale: number },
  make: (tile: Image<3>) => Promise<Image<3>>,
  onTile?: (done: number, count: number) => void,
): Promise<Image<3>> {
  if (tile <= 0) return make(image);
  const columns = tilePositions(image.width, tile, overlap);
  const rows = tilePositions(image.height, tile, overlap);
  const whole = createImage(image.width * scale, image.height * scale, 3);
  const faded = overlap * scale;
  let done = 0;
  for (const y of rows) {
    const row = createImage(whole.width, tile * scale, 3);
    for (const x of columns) {
      const made = await make(crop(image, x, y, tile, tile));
      if (x === 0) paste(row, made, 0, 0);
      else fadeIn(row, made, 'columns', x * scale, faded);
      onTile?.(++done, rows.length * columns.length);
    }
    if (y === 0) paste(whole, row, 0, 0);
    else fadeIn(whole, row, 'rows', y * scale, faded);
  }
  return whole;
}
