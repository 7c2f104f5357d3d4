/** Compositing of two pictures with masks by a mode (Porter and Duff 1984), on colours multiplied by their alpha. A mask is 1 - alpha. */

import { clamped, type Float32 } from './grids.ts';

export interface MaskedPicture {
  /** [b, h, w, c]. */
  readonly image: Float32;
  /** [b, h, w, 1]. */
  readonly mask: Float32;
}

/** Colour and alpha at one place; colours are multiplied by alpha. */
interface Point {
  readonly color: number;
  readonly alpha: number;
}
type Mode = (s: Point, d: Point) => readonly [color: number, alpha: number];

const union = (s: Point, d: Point): number => s.alpha + d.alpha - s.alpha * d.alpha;
/** Each picture where the other is not, and something of both where they overlap. */
const mixedBy =
  (both: (s: number, d: number) => number): Mode =>
  (s, d) => [(1 - d.alpha) * s.color + (1 - s.alpha) * d.color + both(s.color, d.color), union(s, d)];

const modes: Readonly<Record<string, Mode>> = {
  ADD: (s, d) => [clamped(s.color + d.color), clamped(s.alpha + d.alpha)],
  CLEAR: () => [0, 0],
  DARKEN: mixedBy(Math.min),
  DST: (_, d) => [d.color, d.alpha],
  DST_ATOP: (s, d) => [s.alpha * d.color + (1 - d.alpha) * s.color, s.alpha],
  DST_IN: (s, d) => [d.color * s.alpha, s.alpha * d.alpha],
  DST_OUT: (s, d) => [(1 - s.alpha) * d.color, (1 - s.alpha) * d.alpha],
  DST_OVER: (s, d) => [d.color + (1 - d.alpha) * s.color, d.alpha + (1 - d.alpha) * s.alpha],
  LIGHTEN: mixedBy(Math.max),
  MULTIPLY: (s, d) => [s.color * d.color, s.alpha * d.alpha],
  OVERLAY: (s, d) => [
    2 * d.color < d.alpha ? 2 * s.color * d.color : s.alpha * d.alpha - 2 * (d.alpha - s.color) * (s.alpha - d.color),
    union(s, d),
  ],
  SCREEN: (s, d) => [s.color + d.color - s.color * d.color, union(s, d)],
  SRC: (s) => [s.color, s.alpha],
  SRC_ATOP: (s, d) => [d.alpha * s.color + (1 - s.alpha) * d.color, d.alpha],
  SRC_IN: (s, d) => [s.color * d.alpha, s.alpha * d.alpha],
  SRC_OUT: (s, d) => [(1 - d.alpha) * s.color, (1 - d.alpha) * s.alpha],
  SRC_OVER: (s, d) => [s.color + (1 - s.alpha) * d.color, s.alpha + (1 - s.alpha) * d.alpha],
  XOR: (s, d) => [(1 - d.alpha) * s.color + (1 - s.alpha) * d.color, (1 - d.alpha) * s.alpha + (1 - s.alpha) * d.alpha],
};

/** Two pictures of one shape. */
export function composed(name: string, source: MaskedPicture, destination: MaskedPicture): MaskedPicture {
  const mode = modes[name] ?? ((_: Point, d: Point) => [d.color, d.alpha] as const);
  const channels = source.image.shape[3] ?? 3;
  const image = new Float32Array(source.image.data.length);
  const mask = new Float32Array(source.mask.data.length);
  for (let i = 0; i < mask.length; i++) {
    const [sa, da] = [source, destination].map((one) => Math.fround(1 - (one.mask.data[i] as number))) as [
      number,
      number,
    ];
    for (let c = i * channels; c < (i + 1) * channels; c++) {
      const s = { color: Math.fround((source.image.data[c] as number) * sa), alpha: sa };
      const d = { color: Math.fround((destination.image.data[c] as number) * da), alpha: da };
      const [color, alpha] = mode(s, d);
      image[c] = alpha > 1e-5 ? clamped(color / alpha) : 0;
      mask[i] = 1 - alpha;
    }
  }
  return { image: { ...source.image, data: image }, mask: { ...source.mask, data: mask } };
}
