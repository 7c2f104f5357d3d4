/** Images as sequences of their pixels, and back: the one place where attention over images changes the layout. */

import { multiplyDims } from '../graph/dim.ts';
import { reshape, transpose } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';

/** [b, c, h, w] → [b, h·w, c]. */
export function toTokens(image: Sym): Sym {
  const [b = 1, c = 1, h = 1, w = 1] = image.shape;
  return transpose(reshape(image, [b, c, multiplyDims(h, w)]), [0, 2, 1]);
}

/** [b, h·w, c] → [b, c, h, w], with height and width of `like`. */
export function toImage(tokens: Sym, like: Sym): Sym {
  const [b = 1, , c = 1] = tokens.shape;
  const [, , h = 1, w = 1] = like.shape;
  return reshape(transpose(tokens, [0, 2, 1]), [b, c, h, w]);
}
