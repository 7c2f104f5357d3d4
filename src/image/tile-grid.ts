/** A1111's grid of tiles (modules/images.py `split_grid`, `combine_grid`): positions, and tiles that fade into one another in 8 bits. */

import { type Channels, createImage, crop, type Image, paste } from './image.ts';

/** Left (or top) edges of tiles of `tile` along a side of `size` with `overlap`; the last ends at the side's end. */
export function tilePositions(size: number, tile: number, overlap: number): number[] {
  const count = Math.ceil((size - overlap) / (tile - overlap));
  const step = count > 1 ? (size - tile) / (count - 1) : 0;
  return Array.from({ length: Math.max(0, count) }, (_, i) => {
    const start = Math.trunc(i * step);
    return start + tile >= size ? size - tile : start;
  });
}

/** Pillow's blend of two bytes by a third: (a · (255 - mask) + b · mask) / 255, rounded. */
function blend(a: number, b: number, mask: number): number {
  const sum = a * (255 - mask) + b * mask + 128;
  return ((sum >> 8) + sum) >> 8;
}

/** Pastes `source`, fading in over its first `overlap` rows or columns. Changes `target`. */
export function fadeIn<C extends Channels>(
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

export interface GridTile {
  /** Left top corner in the whole picture. */
  readonly x: number;
  readonly y: number;
  readonly image: Image<3>;
}

/** `split_grid`: tiles of the picture, row by row. */
export function splitGrid(
  image: Image<3>,
  { width, height }: { readonly width: number; readonly height: number },
  overlap: number,
): GridTile[] {
  return tilePositions(image.height, height, overlap).flatMap((y) =>
    tilePositions(image.width, width, overlap).map((x) => ({ x, y, image: crop(image, x, y, width, height) })),
  );
}

/** `combine_grid`: tiles, row by row, fade into those before them. */
export function combineGrid(tiles: readonly GridTile[], width: number, height: number, overlap: number): Image<3> {
  const whole = createImage(width, height, 3);
  for (const y of new Set(tiles.map((tile) => tile.y))) {
    const own = tiles.filter((tile) => tile.y === y);
    const row = createImage(width, own[0]?.image.height ?? 1, 3);
    for (const { x, image } of own)
      if (x === 0) paste(row, image, 0, 0);
      else fadeIn(row, image, 'columns', x, overlap);
    if (y === 0) paste(whole, row, 0, 0);
    else fadeIn(whole, row, 'rows', y, overlap);
  }
  return whole;
}
