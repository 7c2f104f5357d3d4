/** A value of a graph: a leaf (input, parameter, constant) or the output of one node. */

import type { DType } from '../tensor/dtype.ts';
import type { Dim } from './dim.ts';

/** Ids count up in the order of creation. */
export interface Value {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}
