/**
 * A1111's tiles for upscalers (modules/images.py `split_grid`, `combine_grid`; modules/upscaler_utils.py `tiled_upscale_2`): positions, the
 * 8-bit blending of ESRGAN, Real-ESRGAN and DAT, and the mean of SwinIR and ScuNET.
 */

import { createImage, crop, type Image, paste } from '../image/image.ts';
import { fadeIn, tilePositions } from '../image/tile-grid.ts';

/** Starts of `tiled_upscale_2`: every `tile - overlap`, and the last tile at the end. `tile` is at most `size`. */
export function strideStarts(size: number, tile: number, overlap: number): number[] {
  const starts: number[] = [];
  for (let start = 0; start < size - tile; start += tile - overlap) starts.push(start);
  return [...starts, size - tile];
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
