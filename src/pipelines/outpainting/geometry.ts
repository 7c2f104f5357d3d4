/** Sizes of outpainting, as A1111's scripts compute them: plain numbers, for the run and for limits before it. */

import type { Outpaint } from '../../generation/picture-fields.ts';
import { tilePositions } from '../../image/tile-grid.ts';
import type { PictureSize } from '../picture-size.ts';

export const sides = ['left', 'right', 'up', 'down'] as const;
export type Side = (typeof sides)[number];
export type Added = Readonly<Record<Side, number>>;

/** What sizes follow from. */
export interface Frame {
  /** Size of the initial picture. */
  readonly picture: PictureSize;
  /** Largest part that is painted at once. */
  readonly part: PictureSize;
  /** Sides of what a model makes are multiples of it. */
  readonly unit: number;
}

export const ceilTo = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

/** Whole pictures have sides that are multiples of 64, or of a larger unit. */
export const wholeUnit = (unit: number): number => (64 % unit === 0 ? 64 : unit);

/** Two opposite sides share what fills up a multiple of the unit, in their proportion. */
function filled(length: number, before: number, after: number, unit: number): readonly [number, number] {
  if (before + after === 0) return [0, 0];
  const more = ceilTo(length + before + after, unit) - length;
  const first = Math.floor((before * more) / (before + after));
  return after > 0 ? [first, more - first] : [first, 0];
}

/** Pixels added at each side. */
export function addedPixels({ picture, unit }: Frame, { left, right, up, down }: Outpaint): Added {
  const [l, r] = filled(picture.width, left, right, wholeUnit(unit));
  const [u, d] = filled(picture.height, up, down, wholeUnit(unit));
  return { left: l, right: r, up: u, down: d };
}

/** One side of mk2: the picture with it, the canvas around that, and the part that is painted. */
export interface SidePass {
  readonly side: Side;
  readonly pixels: number;
  readonly result: PictureSize;
  readonly canvas: PictureSize;
  readonly part: PictureSize;
}

/** The passes of mk2, one after the other. */
export function sidePasses(frame: Frame, added: Added): SidePass[] {
  const { part, unit } = frame;
  let { width, height } = frame.picture;
  const whole = wholeUnit(unit);
  /** At most the size of a part, but all that is new. */
  const painted = (most: number, length: number, pixels: number): number =>
    ceilTo(Math.min(Math.max(most, pixels), length), unit);
  return sides.flatMap((side): SidePass[] => {
    const pixels = added[side];
    if (pixels === 0) return [];
    const isAcross = side === 'left' || side === 'right';
    if (isAcross) width += pixels;
    else height += pixels;
    const canvas = { width: ceilTo(width, whole), height: ceilTo(height, whole) };
    const size = isAcross
      ? { width: painted(part.width, width, pixels), height: canvas.height }
      : { width: canvas.width, height: painted(part.height, height, pixels) };
    return [{ side, pixels, result: { width, height }, canvas, part: size }];
  });
}

/** The tiles of poor man's outpainting that hold something new. */
export interface TilePlan {
  readonly whole: PictureSize;
  readonly tile: PictureSize;
  readonly overlap: number;
  /** Left top corners, row by row. */
  readonly corners: readonly { readonly x: number; readonly y: number; readonly isNew: boolean }[];
}

export function tilePlan({ picture, part, unit }: Frame, added: Added, asked: Outpaint): TilePlan {
  const side = (length: number, before: number, after: number): number =>
    ceilTo(length + before + after, wholeUnit(unit));
  const whole = {
    width: side(picture.width, added.left, added.right),
    height: side(picture.height, added.up, added.down),
  };
  const tile = {
    width: Math.min(ceilTo(part.width, unit), whole.width),
    height: Math.min(ceilTo(part.height, unit), whole.height),
  };
  const pixels = Math.max(asked.left, asked.right, asked.up, asked.down);
  const least = Math.min(tile.width, tile.height);
  // Tiles that only overlap would never come to an end.
  const overlap = pixels < least ? pixels : Math.floor(least / 2);
  const inside = (x: number, y: number): boolean =>
    x >= added.left &&
    x + tile.width <= whole.width - added.right &&
    y >= added.up &&
    y + tile.height <= whole.height - added.down;
  const columns = tilePositions(whole.width, tile.width, overlap);
  const corners = tilePositions(whole.height, tile.height, overlap).flatMap((y) =>
    columns.map((x) => ({ x, y, isNew: !inside(x, y) })),
  );
  return { whole, tile, overlap, corners };
}

/** Sizes of all parts that are painted for one picture, and of the result. */
export function outpaintSizes(
  frame: Frame,
  asked: Outpaint,
): { readonly parts: readonly PictureSize[]; readonly result: PictureSize } {
  const added = addedPixels(frame, asked);
  if (asked.method === 'poor-mans') {
    const { whole, tile, corners } = tilePlan(frame, added, asked);
    return { parts: corners.filter(({ isNew }) => isNew).map(() => tile), result: whole };
  }
  const passes = sidePasses(frame, added);
  return { parts: passes.map(({ part }) => part), result: passes.at(-1)?.result ?? frame.picture };
}
