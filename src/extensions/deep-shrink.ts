/**
 * Deep shrink (Kohya): the image is made smaller behind one block of the first half, and larger again where the second half joins a larger skip
 * connection. Keeps the composition of pictures that are larger than those the model was trained on. As ComfyUI's PatchModelAddDownscale.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Sym } from '../graph/trace.ts';
import { bislerpImage } from '../nn/bislerp.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import {
  areaMatrix,
  bicubicMatrix,
  bilinearMatrix,
  nearestExactMatrix,
  type ResizeMatrix,
  resizeBy,
} from '../nn/resize-matrix.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';
import type { Extension } from './extension.ts';

type Resize = (h: Sym, height: number, width: number) => Sym;

const byMatrix =
  (matrix: (from: number, to: number) => ResizeMatrix): Resize =>
  (h, height, width) =>
    resizeBy(h, matrix(fixedSize(h, 2), height), matrix(fixedSize(h, 3), width));

const methods = {
  bicubic: byMatrix(bicubicMatrix),
  'nearest-exact': byMatrix(nearestExactMatrix),
  bilinear: byMatrix(bilinearMatrix),
  area: byMatrix(areaMatrix),
  bislerp: bislerpImage,
} as const satisfies Readonly<Record<string, Resize>>;

export type ShrinkMethod = keyof typeof methods;
export const shrinkMethods = Object.keys(methods) as readonly ShrinkMethod[];

export interface DeepShrink {
  /** Number of the block among `input_blocks`. */
  readonly block: number;
  /** Sides are divided by this, and rounded. */
  readonly factor: number;
  /** The skip connection of the block keeps its size. */
  readonly afterSkip: boolean;
  readonly down: ShrinkMethod;
  readonly up: ShrinkMethod;
}

function resized(h: Sym, height: number, width: number, method: ShrinkMethod): Sym {
  if (height < 1 || width < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `Deep shrink would leave nothing of ${fixedSize(h, 3)} by ${fixedSize(h, 2)}. Choose a smaller factor or a larger picture.`,
    );
  return methods[method](h, height, width);
}

/** For graphs of one size. Throws `invalid-argument` where a side becomes 0. */
export function deepShrink({ block: number, factor, afterSkip, down, up }: DeepShrink): Extension {
  const side = (h: Sym, axis: number): number => roundHalfEven(fixedSize(h, axis) * (1 / factor));
  const shrink = (h: Sym): Sym => resized(h, side(h, 2), side(h, 3), down);
  return {
    name: ['deep-shrink', number, factor, afterSkip, down, up].join(' '),
    needsSize: true,
    inputs: () => ({}),
    hooks: () => ({
      ...(afterSkip
        ? { afterSkip: (h: Sym, index: number) => (index === number ? shrink(h) : h) }
        : {
            block: (path: string, run: () => Sym) => (path === `input_blocks.${number}` ? shrink(run()) : run()),
          }),
      join: (h, skip) =>
        fixedSize(h, 2) === fixedSize(skip, 2)
          ? [h, skip]
          : [resized(h, fixedSize(skip, 2), fixedSize(skip, 3), up), skip],
    }),
  };
}
