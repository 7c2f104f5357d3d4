/** Takes one token of each row, at a position that depends on the row: the pooling of CLIP's text encoders. */

import { argmax, cast, constant, equal, matmul, reshape, slice } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { int64 } from '../tensor/tensor.ts';

/** x [b, n, d], position int64 [b] with n at most `longest` → [b, d], as a product with one-hot rows. */
export function takeToken(x: Sym, position: Sym, longest: number): Sym {
  const [b = 1, n = 1, d = 1] = x.shape;
  const places = slice(
    constant(
      x,
      int64(
        [longest],
        Array.from({ length: longest }, (_, i) => i),
      ),
    ),
    0,
    0,
    n,
  );
  const chosen = cast(equal(reshape(position, [b, 1]), places), x.dtype);
  return reshape(matmul(reshape(chosen, [b, 1, n]), x), [b, d]);
}

/** Position of the first largest id: ids int64 [b, n] → int64 [b]. Ids are exact in float32. */
export function largestId(ids: Sym): Sym {
  return argmax(cast(ids, 'float32'), 1);
}

/** Position of the first `id`, 0 if absent: ids int64 [b, n] → int64 [b]. */
export function firstId(ids: Sym, id: number): Sym {
  return argmax(cast(equal(ids, id), 'float32'), 1);
}
