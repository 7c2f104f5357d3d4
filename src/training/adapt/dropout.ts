/**
 * Dropout inside of a graph (Srivastava et al. 2014): the mask is a hash of the element's place and a seed that each run is given, so
 * that a step can be repeated, and a block calculated again in the backward pass has the same mask.
 */

import { add, cast, floor, less, mul, range, reshape, sin, sub } from '../../graph/functions.ts';
import type { Sym } from '../../graph/trace.ts';

/** The fraction of a sine blown up: rough, cheap, and free of state. */
function hash(value: Sym): Sym {
  const blown = mul(sin(value), 3571.377);
  return sub(blown, floor(blown));
}

/** Numbers in [0, 1), one for each element of `like`. Axes are mixed in one after the other. */
export function hashedUniform(like: Sym, seed: Sym): Sym {
  let state = hash(seed);
  for (const [axis, size] of like.shape.entries()) {
    const place = cast(range(like, size), 'float32');
    const along = reshape(
      place,
      like.shape.map((_, other) => (other === axis ? size : 1)),
    );
    state = hash(add(mul(along, 12.9898), add(mul(state, 78.233), axis + 1)));
  }
  return state;
}

/**
 * x with each element zeroed with this probability and the others scaled up. `seed` is a float32 scalar, another one for each run; `salt`
 * distinguishes the uses within a run, which share the hash of places.
 */
export function dropout(x: Sym, probability: number, seed: Sym, salt: number): Sym {
  if (probability === 0) return x;
  const own = hash(add(mul(hashedUniform(x, seed), 78.233), 1.618 * salt));
  const dropped = cast(less(own, probability), 'float32');
  return mul(x, mul(sub(1, dropped), 1 / (1 - probability)));
}
