/**
 * Pictures that can be laid side by side without a seam: every convolution's padding comes from the opposite side (A1111's `tiling`,
 * `apply_circular`), along both axes or one.
 */

import { type Dim, subtractDims } from '../graph/dim.ts';
import { concat, pad, slice } from '../graph/functions.ts';
import type { Pads } from '../graph/operations.ts';
import type { Sym } from '../graph/trace.ts';
import type { Extension } from './extension.ts';

export const seamlessAxes = ['both', 'x', 'y'] as const;
export type SeamlessAxes = (typeof seamlessAxes)[number];

/** `before` and `after` positions from the other end of an axis. */
function wrapped(x: Sym, axis: number, before: number, after: number): Sym {
  const size = x.shape[axis] as Dim;
  return concat(
    [
      ...(before > 0 ? [slice(x, axis, subtractDims(size, before), size)] : []),
      x,
      ...(after > 0 ? [slice(x, axis, 0, after)] : []),
    ],
    axis,
  );
}

/** x [b, c, h, w] padded: around the axes that wrap by the other side, elsewhere by zeros. */
export function circularPadding(axes: SeamlessAxes): (x: Sym, pads: Pads) => Sym {
  return (x, [top, left, bottom, right]) => {
    const rows = axes === 'x' ? pad(x, [0, 0, top, 0], [0, 0, bottom, 0]) : wrapped(x, 2, top, bottom);
    return axes === 'y' ? pad(rows, [0, 0, 0, left], [0, 0, 0, right]) : wrapped(rows, 3, left, right);
  };
}

export function seamless(axes: SeamlessAxes): Extension {
  return { name: `seamless ${axes}`, inputs: () => ({}), hooks: () => ({ padding: circularPadding(axes) }) };
}
