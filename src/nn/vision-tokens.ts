/** An image as the tokens of a vision transformer (Dosovitskiy et al. 2021): patches through a convolution, a class token in front. */

import { concat, conv2d, expand, reshape } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';
import { toTokens } from './tokens.ts';

/** x [b, c, side, side], weight [width, c, patch, patch], classToken [width] → [b, 1 + (side / patch)², width], without positions. */
export function visionTokens(x: Sym, weight: Sym, classToken: Sym, bias?: Sym): Sym {
  const [b = 1] = x.shape;
  const width = fixedSize(classToken, 0);
  const patches = toTokens(conv2d(x, weight, bias, { stride: fixedSize(weight, 2) }));
  return concat([expand(reshape(classToken, [1, 1, width]), [b, 1, width]), patches], 1);
}
