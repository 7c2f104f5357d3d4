/** Layers of T5: a norm without mean and bias, and the GELU by tanh. */

import { add, mean, mul, reciprocal, sqrt, tanh } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from './fixed-size.ts';

/** Root mean square norm over the last axis (Zhang & Sennrich 2019, arXiv 1910.07467): x / sqrt(mean(x²) + ε) · weight. */
export function rmsNormLayer(p: Params, x: Sym, epsilon: number): Sym {
  const width = fixedSize(x, -1);
  return p.module(() => {
    const square = mean(mul(x, x), [-1], { keepDims: true });
    return mul(p.get('weight', [width]), mul(x, reciprocal(sqrt(add(square, epsilon)))));
  });
}

/** Hendrycks & Gimpel's approximation of GELU, transformers' `gelu_new`. */
export function tanhGelu(x: Sym): Sym {
  const cubed = mul(mul(x, x), x);
  return mul(mul(x, 0.5), add(tanh(mul(add(x, mul(cubed, 0.044715)), Math.sqrt(2 / Math.PI))), 1));
}
