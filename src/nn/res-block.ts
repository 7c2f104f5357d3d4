/** Residual block conditioned on the timestep (`openaimodel.ResBlock`, after Dhariwal & Nichol 2021). */

import { add, chunk, div, mul, reshape, silu } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from './conv.ts';
import { dropout } from './dropout.ts';
import { fixedSize } from './fixed-size.ts';
import type { UNetHooks } from './hooks.ts';
import { linearLayer } from './linear.ts';
import { groupNormLayer } from './norm.ts';
import { averageHalf, double } from './resample.ts';

export interface ResBlockOptions {
  /** Channels of the output. */
  readonly out: number;
  readonly groups: number;
  /** The embedding gives a scale and a shift after the second norm, instead of being added before it. */
  readonly scaleShift: boolean;
  /** Halves or doubles the image, after norm and SiLU and before the convolution, and on the skip path. */
  readonly resample?: 'down' | 'up';
  readonly pad?: UNetHooks['padding'];
  /** Of the second convolution's input, in training. Default 0. */
  readonly dropout?: number;
  /** Default SiLU. */
  readonly activation?: (x: Sym) => Sym;
  /** The sum of both paths is divided by this. Default 1. */
  readonly outputScale?: number;
}

/** x [b, c, h, w], embedding [b, e] → [b, out, h, w] (or half or double the size). */
export function resBlock(p: Params, x: Sym, embedding: Sym, options: ResBlockOptions): Sym {
  const { out, groups, scaleShift, pad, activation = silu, outputScale = 1 } = options;
  const norm = { groups, epsilon: 1e-5 };
  const resample =
    options.resample === 'down' ? averageHalf : options.resample === 'up' ? double : (image: Sym) => image;
  return p.module(() => {
    let h = resample(activation(groupNormLayer(p.at('in_layers.0'), x, norm)));
    h = convLayer(p.at('in_layers.2'), h, out, { kernel: 3, pad });
    const projected = linearLayer(p.at('emb_layers.1'), activation(embedding), scaleShift ? 2 * out : out);
    const [b = 1, width = 1] = projected.shape;
    const condition = reshape(projected, [b, width, 1, 1]);
    if (scaleShift) {
      const [scale, shift] = chunk(condition, 1, 2) as [Sym, Sym];
      h = add(mul(groupNormLayer(p.at('out_layers.0'), h, norm), add(scale, 1)), shift);
    } else h = groupNormLayer(p.at('out_layers.0'), add(h, condition), norm);
    h = dropout(p.at('out_layers.2'), activation(h), options.dropout ?? 0);
    h = convLayer(p.at('out_layers.3'), h, out, { kernel: 3, pad });
    const skip = resample(x);
    const sum = add(fixedSize(x, 1) === out ? skip : convLayer(p.at('skip_connection'), skip, out, { kernel: 1 }), h);
    return outputScale === 1 ? sum : div(sum, outputScale);
  });
}
