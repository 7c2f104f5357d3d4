/**
 * A reconstruction loss without networks, for small machines: L1 distance of images at sizes 1, ½, ¼, …, of their differences from pixel to
 * pixel (edges), and of what remains of the colours without their mean (chroma).
 */

import type { MultiscaleLossConfig } from '../../config/autoencoder-training.ts';
import { subtractDims } from '../../graph/dim.ts';
import { abs, add, avgPool, mean, mul, slice, sub } from '../../graph/functions.ts';
import type { Sym } from '../../graph/trace.ts';

const distance = (difference: Sym): Sym => mean(abs(difference));

/** x[i + 1] - x[i] along an axis. */
function step(x: Sym, axis: number): Sym {
  const length = x.shape[axis] ?? 1;
  return sub(slice(x, axis, 1, length), slice(x, axis, 0, subtractDims(length, 1)));
}

/** The loss of an image's reconstruction, both [b, c, h, w]: a scalar, a mean over scales. */
export function multiscaleLoss(
  config: Pick<MultiscaleLossConfig, 'scales' | 'gradient_weight' | 'chroma_weight'>,
  image: Sym,
  reconstruction: Sym,
): Sym {
  // Every term is linear in the difference before its absolute value.
  let difference = sub(reconstruction, image);
  const terms: Sym[] = [];
  for (let scale = 0; scale < config.scales; scale++) {
    if (scale > 0) difference = avgPool(difference, { kernel: 2 });
    terms.push(distance(difference));
    if (config.gradient_weight > 0)
      terms.push(mul(add(distance(step(difference, 2)), distance(step(difference, 3))), config.gradient_weight));
    if (config.chroma_weight > 0)
      terms.push(mul(distance(sub(difference, mean(difference, [1], { keepDims: true }))), config.chroma_weight));
  }
  return mul(
    terms.reduce((total, term) => add(total, term)),
    1 / config.scales,
  );
}
