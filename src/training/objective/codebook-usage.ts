/** Codebook usage of a batch (`measure_perplexity` of `ldm/modules/losses/vqperceptual.py`). */

import { productOfDims } from '../../graph/dim.ts';
import {
  add,
  cast,
  constant,
  dimension,
  div,
  exp,
  expand,
  less,
  log,
  mul,
  neg,
  reshape,
  scatterAdd,
  sum,
} from '../../graph/functions.ts';
import type { Sym } from '../../graph/trace.ts';
import { float32 } from '../../tensor/tensor.ts';

export interface CodebookUsage {
  /** Exponential of the entropy of the codes: `size` if all are used equally, 1 if only one is used. */
  readonly perplexity: Sym;
  /** Codes that occur, as a float32 number. */
  readonly used: Sym;
}

/** Usage of indices, int64 of any shape, 0 … size - 1. */
export function codebookUsage(indices: Sym, size: number): CodebookUsage {
  const flat = reshape(indices, [-1]);
  const ones = expand(constant(flat, float32([], [1])), flat.shape);
  const share = div(scatterAdd(flat, ones, size), dimension(ones, productOfDims(flat.shape))); // [size]
  return { perplexity: exp(neg(sum(mul(share, log(add(share, 1e-10)))))), used: sum(cast(less(0, share), 'float32')) };
}
