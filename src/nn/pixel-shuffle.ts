/** Pixel shuffle (Shi et al. 2016; `torch.nn.PixelShuffle`): channels become pixels, and back. */

import { divideDim, multiplyDims } from '../graph/dim.ts';
import { reshape, transpose } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';

/** x [b, c · factor², h, w] → [b, c, h · factor, w · factor]. */
export function pixelShuffle(x: Sym, factor: number): Sym {
  if (factor === 1) return x;
  const [b = 1, , h = 1, w = 1] = x.shape;
  const channels = fixedSize(x, 1) / factor ** 2;
  const split = transpose(reshape(x, [b, channels, factor, factor, h, w]), [0, 1, 4, 2, 5, 3]);
  return reshape(split, [b, channels, multiplyDims(h, factor), multiplyDims(w, factor)]);
}

/** x [b, c, h, w] → [b, c · factor², h / factor, w / factor]; height and width divide by `factor`. */
export function pixelUnshuffle(x: Sym, factor: number): Sym {
  if (factor === 1) return x;
  const [b = 1, , height = 1, width = 1] = x.shape;
  const [h, w] = [divideDim(height, factor), divideDim(width, factor)];
  const channels = fixedSize(x, 1);
  const split = transpose(reshape(x, [b, channels, h, factor, w, factor]), [0, 1, 3, 5, 2, 4]);
  return reshape(split, [b, channels * factor ** 2, h, w]);
}
