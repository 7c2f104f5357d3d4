/**
 * The parts of outpainting that are painted, as A1111's scripts prepare them (scripts/outpainting_mk_2.py, scripts/poor_mans_outpainting.py,
 * v1.10.1): the picture, the mask of what is painted and the softer mask of what is shown. Each method is a generator that takes the painted part.
 */

import type { Outpaint, outpaintFills } from '../../generation/picture-fields.ts';
import { createImage, crop, type Image, paste } from '../../image/image.ts';
import { matchedNoise } from './matched-noise.ts';
import { combineGrid, type GridTile } from '../../image/tile-grid.ts';
import { addedPixels, type Frame, type SidePass, sidePasses, tilePlan } from './geometry.ts';

export interface Part {
  readonly image: Image<3>;
  /** White is painted. */
  readonly mask: Image<1>;
  /** White shows what was painted; its edge is still sharp. */
  readonly shown: Image<1>;
  /** Standard deviation of the blur of that edge, pixels. */
  readonly blur: number;
  readonly fill: (typeof outpaintFills)[number];
  /** Added to the seed. */
  readonly seedOffset: number;
}

type Parts = Generator<Part, Image<3>, Image<3>>;

/** White but for a black rectangle whose last column and row belong to it, as Pillow draws it. */
function around(
  { width, height }: Pick<Image, 'width' | 'height'>,
  [left, top, right, bottom]: readonly [left: number, top: number, right: number, bottom: number],
): Image<1> {
  const mask = createImage(width, height, 1);
  mask.data.fill(255);
  for (let y = Math.max(0, top); y <= Math.min(height - 1, bottom); y++)
    if (right >= left) mask.data.fill(0, y * width + Math.max(0, left), y * width + Math.min(width, right + 1));
  return mask;
}

/** What stays: the picture before the pass, less `margin` pixels at the new side. */
function keptOf({ side, pixels, result }: SidePass, margin: number): readonly [number, number, number, number] {
  const inset = pixels + margin;
  return [
    side === 'left' ? inset : 0,
    side === 'up' ? inset : 0,
    side === 'right' ? result.width - inset : result.width,
    side === 'down' ? result.height - inset : result.height,
  ];
}

/** One side of mk2: the canvas with noise, and where the part lies in it. */
function sideCanvas(image: Image<3>, pass: SidePass, blur: number, settings: Outpaint) {
  const { side, pixels, canvas, part } = pass;
  const whole = createImage(canvas.width, canvas.height, 3);
  paste(whole, image, side === 'left' ? pixels : 0, side === 'up' ? pixels : 0);
  const mask = around(canvas, keptOf(pass, blur));
  const { fallOff, colorVariation } = settings;
  return {
    noised: matchedNoise(whole, mask, { fallOff, colorVariation }),
    mask,
    left: side === 'left' ? 0 : canvas.width - part.width,
    top: side === 'up' ? 0 : canvas.height - part.height,
  };
}

/** mk2: each side over noise that looks like the picture. */
export function* sideParts(image: Image<3>, frame: Frame, settings: Outpaint): Parts {
  const { maskBlur: blur = 8 } = settings;
  let picture = image;
  for (const pass of sidePasses(frame, addedPixels(frame, settings))) {
    const { part, result, canvas } = pass;
    const { noised, mask, left, top } = sideCanvas(picture, pass, blur, settings);
    const cut = <C extends 1 | 3>(from: Image<C>): Image<C> => crop(from, left, top, part.width, part.height);
    const painted = yield {
      image: cut(noised),
      mask: cut(around(canvas, keptOf(pass, 2 * blur))),
      shown: cut(mask),
      blur: 4 * blur,
      fill: 'original',
      seedOffset: 0,
    };
    paste(noised, painted, left, top);
    picture = crop(noised, 0, 0, result.width, result.height);
  }
  return picture;
}

/** Poor man's: tiles of the enlarged picture, each with the next seed, fade into one another. */
export function* tileParts(image: Image<3>, frame: Frame, settings: Outpaint): Parts {
  const { maskBlur: blur = 4, fill = 'fill' } = settings;
  const added = addedPixels(frame, settings);
  const { whole, tile, overlap, corners } = tilePlan(frame, added, settings);
  const canvas = createImage(whole.width, whole.height, 3);
  paste(canvas, image, added.left, added.up);
  const kept = (margin: number): Image<1> => {
    const end = (start: number, length: number, after: number, size: number): number =>
      after > 0 ? size - after - margin : start + length < size ? start + length - 1 : size;
    return around(whole, [
      added.left + (added.left > 0 ? margin : 0),
      added.up + (added.up > 0 ? margin : 0),
      end(added.left, image.width, added.right, whole.width),
      end(added.up, image.height, added.down, whole.height),
    ]);
  };
  const [shown, mask] = [kept(2 * blur), kept(Math.floor(blur / 2))];
  const tiles: GridTile[] = [];
  let seedOffset = 0;
  for (const { x, y, isNew } of corners) {
    const cut = <C extends 1 | 3>(from: Image<C>): Image<C> => crop(from, x, y, tile.width, tile.height);
    const part = { image: cut(canvas), mask: cut(mask), shown: cut(shown), blur: 2 * blur, fill, seedOffset };
    tiles.push({ x, y, image: isNew ? yield part : part.image });
    if (isNew) seedOffset++;
  }
  return combineGrid(tiles, whole.width, whole.height, overlap);
}
