/** Several images in one: rows and columns of equal cells. */

import { StableDiffusionError } from '../errors.ts';
import { type Channels, createImage, type Image, paste } from './image.ts';

export interface GridOptions {
  /** Images in a row; torchvision calls it `nrow`. Default 8, and never more than there are. */
  readonly columns?: number;
  /** Pixels around and between the cells. Default 2. */
  readonly padding?: number;
  /** Level of the padding, 0 to 255. Default 0. */
  readonly background?: number;
}

/**
 * torchvision's `make_grid`: padding around and between the cells. A single image is returned unchanged, without padding, as there.
 *
 * All images must have one size and number of channels (`shape-mismatch`).
 */
export function imageGrid<C extends Channels>(images: readonly Image<C>[], options: GridOptions = {}): Image<C> {
  const first = images[0];
  if (!first) throw new StableDiffusionError('invalid-argument', 'A grid needs at least one image.');
  if (images.length === 1) return first;
  const { padding = 2, background = 0 } = options;
  const columns = Math.max(1, Math.min(options.columns ?? 8, images.length));
  const rows = Math.ceil(images.length / columns);
  const cellWidth = first.width + padding;
  const cellHeight = first.height + padding;
  const grid = createImage(cellWidth * columns + padding, cellHeight * rows + padding, first.channels);
  grid.data.fill(background);
  for (const [i, image] of images.entries()) {
    if (image.width !== first.width || image.height !== first.height) {
      throw new StableDiffusionError(
        'shape-mismatch',
        `The images of a grid have one size: ${first.width}x${first.height} and ${image.width}x${image.height} were given.`,
      );
    }
    paste(grid, image, (i % columns) * cellWidth + padding, Math.floor(i / columns) * cellHeight + padding);
  }
  return grid;
}
