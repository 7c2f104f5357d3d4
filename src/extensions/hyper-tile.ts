/**
 * HyperTile (https://github.com/tfernd/HyperTile): self-attention within tiles of the image. In ComfyUI's form the queries of a tile attend to
 * the keys and values of a run of tokens, row by row, as long as a tile has.
 */

import { StableDiffusionError } from '../errors.ts';
import { type Dim, multiplyDims } from '../graph/dim.ts';
import { reshape, transpose } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';
import type { Extension } from './extension.ts';

export interface HyperTile {
  /** Least side of a tile, in elements of the latent. */
  readonly side: number;
  /** Attentions are tiled where the image is 1, 2 … 2^depth times smaller than the latent. */
  readonly depth: number;
  /** Tiles have more elements by that number. */
  readonly scalesWithDepth: boolean;
}

/** Sides of the image that so many tokens are. The original takes width / height of the latent for their ratio the other way round. Throws `invalid-argument`. */
function sidesOf(tokens: number, ratio: number): readonly [height: number, width: number] {
  const sides = [roundHalfEven(Math.sqrt(tokens * ratio)), roundHalfEven(Math.sqrt(tokens / ratio))] as const;
  if (sides[0] * sides[1] === tokens) return sides;
  throw new StableDiffusionError(
    'invalid-argument',
    `HyperTile cannot divide an image of ${tokens} tokens. Choose sides of the picture that are multiples of 64.`,
  );
}

/** How many tiles a side has: tiles are as small as a divisor of the side that is not below `least`. */
function tilesAlong(side: number, least: number): number {
  for (let length = Math.min(least, side); length < side; length++) if (side % length === 0) return side / length;
  return 1;
}

/** [b, n, c] with the tokens of each tile as a batch of their own, and back. */
function tiled(x: Sym, [h, w]: readonly [number, number], [rows, columns]: readonly [number, number]): Sym {
  const [b = 1] = x.shape;
  const width = fixedSize(x, 2);
  const parts = transpose(reshape(x, [b, rows, h / rows, columns, w / columns, width]), [0, 1, 3, 2, 4, 5]);
  return reshape(parts, [multiplyDims(b, rows * columns), (h * w) / (rows * columns), width]);
}

function untiled(x: Sym, b: Dim, [h, w]: readonly [number, number], [rows, columns]: readonly [number, number]): Sym {
  const width = fixedSize(x, 2);
  const parts = transpose(reshape(x, [b, rows, columns, h / rows, w / columns, width]), [0, 1, 3, 2, 4, 5]);
  return reshape(parts, [b, h * w, width]);
}

/** For graphs of one size. */
export function hyperTile({ side, depth, scalesWithDepth }: HyperTile): Extension {
  return {
    name: `hyper-tile ${side} ${depth} ${scalesWithDepth}`,
    needsSize: true,
    inputs: () => ({}),
    hooks(_, given) {
      const latent = given['x'] as Sym;
      const [height, width] = [fixedSize(latent, 2), fixedSize(latent, 3)];
      const counts = Array.from({ length: depth + 1 }, (_unused, i) => (height / 2 ** i) * (width / 2 ** i));
      return {
        attend: (attend, { kind }) => {
          if (kind !== 'self') return attend;
          return (q, k, v) => {
            const [b = 1] = q.shape;
            const tokens = fixedSize(q, 1);
            const level = counts.indexOf(tokens);
            if (level < 0) return attend(q, k, v);
            const sides = sidesOf(tokens, width / height);
            const least = side * (scalesWithDepth ? 2 ** level : 1);
            const grid = [tilesAlong(sides[0], least), tilesAlong(sides[1], least)] as const;
            const count = grid[0] * grid[1];
            if (count === 1) return attend(q, k, v);
            const run = (x: Sym): Sym => reshape(x, [multiplyDims(b, count), tokens / count, fixedSize(x, 2)]);
            return untiled(attend(tiled(q, sides, grid), run(k), run(v)), b, sides, grid);
          };
        },
      };
    },
  };
}
