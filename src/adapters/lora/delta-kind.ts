/** A kind of adapter: the tensors of a module, and the change that they make to a weight. */

import type { Shape, Tensor } from '../../tensor/tensor.ts';
import type { LoraRole } from './lora-keys.ts';
import type { Matrix } from './matrix-product.ts';

export interface Kind {
  readonly needs: readonly LoraRole[];
  /** Tensors that it may have, too. */
  readonly allows?: readonly LoraRole[];
  /** Rows and columns of the matrix, from shapes alone; `layer`: those of the weight, which a change of all its columns takes over. */
  readonly size: (
    shape: (role: LoraRole) => Shape,
    layer: readonly [rows: number, columns: number] | undefined,
  ) => readonly [rows: number, columns: number];
  /** Divisor of alpha; undefined if alpha has no effect on the scale. */
  readonly rank: (shape: (role: LoraRole) => Shape, has: (role: LoraRole) => boolean) => number | undefined;
  readonly matrix: (
    get: (role: LoraRole) => Matrix,
    tensors: ReadonlyMap<LoraRole, Tensor<'float32'>>,
    weight: () => Matrix,
  ) => Matrix;
}

export const columnsOf = (shape: Shape): number => shape.slice(1).reduce((count, size) => count * size, 1);
export const pixels = (shape: Shape): number => shape.slice(2).reduce((count, size) => count * size, 1);
