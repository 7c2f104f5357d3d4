/** Resizing of images of a known size by spherical interpolation of channel vectors, along x and then y: ComfyUI's `bislerp`, as `tensor/bislerp.ts` has it. */

import {
  add,
  constant,
  div,
  equal,
  less,
  matmul,
  mul,
  reciprocal,
  sin,
  sqrt,
  sub,
  sum,
  where,
} from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { float32 } from '../tensor/tensor.ts';
import { fixedSize } from './fixed-size.ts';

/** Abramowitz & Stegun 4.4.46: arccos on [0, 1] is sqrt(1 - x) times this polynomial, to 2e-8. */
const arccosine = [
  1.570796305, -0.2145988016, 0.0889789874, -0.0501743046, 0.030891881, -0.0170881256, 0.0066700901, -0.0012624911,
];

function acos(x: Sym): Sym {
  const isNegative = less(x, 0);
  const size = where(isNegative, mul(x, -1), x);
  let polynomial = mul(size, 0);
  for (const coefficient of [...arccosine].reverse()) polynomial = add(mul(polynomial, size), coefficient);
  const angle = mul(sqrt(sub(1, size)), polynomial);
  return where(isNegative, sub(Math.PI, angle), angle);
}

/** Vectors of length 1 over the channels, or 0, and their lengths. */
function directions(x: Sym): readonly [unit: Sym, length: Sym] {
  const length = sqrt(sum(mul(x, x), [1], { keepDims: true }));
  return [mul(x, where(equal(length, 0), length, reciprocal(length))), length];
}

/** Between a and b; `share` broadcasts. Vectors that are nearly the same or opposite are taken as they are, or mixed. */
function slerp(a: Sym, b: Sym, share: Sym): Sym {
  const [[ua, la], [ub, lb]] = [directions(a), directions(b)];
  const rest = sub(1, share);
  const dot = sum(mul(ua, ub), [1], { keepDims: true });
  const angle = acos(dot);
  const along = div(add(mul(ua, sin(mul(rest, angle))), mul(ub, sin(mul(share, angle)))), sin(angle));
  const turned = mul(along, add(mul(la, rest), mul(lb, share)));
  const mixed = add(mul(a, rest), mul(b, share));
  const differs = where(less(dot, 1e-5 - 1), mixed, turned);
  return where(less(1 - 1e-5, dot), a, differs);
}

/** Along height (axis 2) or width (axis 3). */
function resizeAxis(x: Sym, axis: 2 | 3, to: number): Sym {
  const from = fixedSize(x, axis);
  const scale = Math.fround(from / to);
  const positions = Array.from({ length: to }, (_, i) =>
    Math.min(from - 1, Math.max(0, Math.fround(scale * (i + 0.5) - 0.5))),
  );
  const low = positions.map(Math.floor);
  const take = (places: readonly number[]): Sym => {
    const data = new Float32Array(to * from);
    for (const [i, place] of places.entries()) data[i * from + place] = 1;
    const picks = constant(x, float32([to, from], data));
    return axis === 2 ? matmul(picks, x) : matmul(x, picks, { transposeB: true });
  };
  const shares = Float32Array.from(positions, (position, i) => position - (low[i] as number));
  const share = constant(x, float32(axis === 2 ? [1, 1, to, 1] : [1, 1, 1, to], shares));
  return slerp(take(low), take(low.map((place) => Math.min(place + 1, from - 1))), share);
}

/** x [b, c, h, w] → [b, c, height, width]. */
export const bislerpImage = (x: Sym, height: number, width: number): Sym =>
  resizeAxis(resizeAxis(x, 3, width), 2, height);
