/** Sizes that a job does not get as they were asked for, in words: networks make multiples of a unit. */

import { type HiresDraft, hiresSize } from './hires.ts';

interface Size {
  readonly width: number;
  readonly height: number;
}

const differs = (a: Size, b: Size): boolean => a.width !== b.width || a.height !== b.height;

/** What the caller named of sizes. Of outpainting they are those of its parts, which it chooses itself. */
interface Asked extends Partial<Record<'width' | 'height', number | undefined>> {
  readonly outpaint?: object | undefined;
  readonly hires?: HiresDraft | undefined;
}

export function sizeWarnings(asked: Asked, made: Size, unit: number, second: Size | undefined): readonly string[] {
  if (asked.outpaint) return [];
  const wanted: Size = { width: asked.width ?? made.width, height: asked.height ?? made.height };
  const line = (what: string, from: Size, to: Size): string =>
    `The size ${from.width} x ${from.height}${what} became ${to.width} x ${to.height}: this model makes multiples of ${unit}.`;
  const enlarged = asked.hires && hiresSize(made.width, made.height, asked.hires);
  return [
    ...(differs(wanted, made) ? [line('', wanted, made)] : []),
    ...(enlarged && second && differs(enlarged, second) ? [line(' of hires. fix', enlarged, second)] : []),
  ];
}
