/**
 * The StyleGAN2 generator (Karras et al. 2020, arXiv 1912.04958) in GFPGAN's "clean" form, without StyleGAN2's own filters: a style vector
 * for each layer, and scales and shifts of its features from outside (spatial feature transform).
 */

import {
  add,
  concat,
  conv2d,
  leakyRelu,
  linear,
  mul,
  reciprocal,
  reshape,
  resize,
  slice,
  sqrt,
  sum,
} from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';

export interface StyleDecoderConfig {
  /** Channels of the constant at 4 x 4. */
  readonly first: number;
  /** Channels of each doubling of the side, from 8 on. */
  readonly levels: readonly number[];
  /** Features of a style. */
  readonly styleWidth: number;
}

/** Factor on the features at one size, and what is then added. Their channels are the last ones of the features: all, or half of them. */
export interface FeatureTransform {
  readonly scale: Sym;
  readonly shift: Sym;
}

const slope = 0.2;

/** Doubles the sides, bilinear between the centres of pixels. */
export const doubleSmoothly = (x: Sym): Sym => resize(x, 'bilinear', 2);

interface ModulatedConv {
  readonly out: number;
  readonly kernel: number;
  /** Divides each output channel by the length of its kernel. */
  readonly demodulate: boolean;
}

/**
 * Convolution whose input channels the style [1, s] scales. The kernel is scaled in the original; the input is here, and the length of the
 * scaled kernel divides the output.
 */
function modulatedConv(p: Params, x: Sym, style: Sym, { out, kernel, demodulate }: ModulatedConv): Sym {
  return p.module(() => {
    const channels = fixedSize(x, 1);
    const factors = linearLayer(p.at('modulation'), style, channels);
    const weight = reshape(p.get('weight', [1, out, channels, kernel, kernel]), [out, channels, kernel, kernel]);
    const made = conv2d(mul(x, reshape(factors, [1, channels, 1, 1])), weight, undefined, { padding: kernel >> 1 });
    if (!demodulate) return made;
    const lengths = linear(mul(factors, factors), sum(mul(weight, weight), [2, 3]));
    return mul(made, reshape(reciprocal(sqrt(add(lengths, 1e-8))), [1, out, 1, 1]));
  });
}

/** `StyleConv`: with the noise that the file keeps for this layer. */
function styleConv(p: Params, x: Sym, style: Sym, noise: Sym, out: number): Sym {
  return p.module(() => {
    const made = modulatedConv(p.at('modulated_conv'), x, style, { out, kernel: 3, demodulate: true });
    const noised = add(mul(made, Math.SQRT2), mul(reshape(p.get('weight', [1]), [1, 1, 1, 1]), noise));
    return leakyRelu(add(noised, p.get('bias', [1, out, 1, 1])), slope);
  });
}

function toRgb(p: Params, x: Sym, style: Sym): Sym {
  return p.module(() => {
    const made = modulatedConv(p.at('modulated_conv'), x, style, { out: 3, kernel: 1, demodulate: false });
    return add(made, p.get('bias', [1, 3, 1, 1]));
  });
}

function transformed(x: Sym, { scale, shift }: FeatureTransform): Sym {
  const channels = fixedSize(x, 1);
  const kept = channels - fixedSize(scale, 1);
  if (kept === 0) return add(mul(x, scale), shift);
  return concat([slice(x, 1, 0, kept), add(mul(slice(x, 1, kept, channels), scale), shift)], 1);
}

/**
 * styles: of each layer [1, s], or one for all; transforms: of each size from 8 on. → picture [1, 3, side, side].
 * The original draws the noise at random; here it is what the file keeps, so that a picture always comes out the same.
 */
export function styleDecoder(
  p: Params,
  styles: readonly Sym[],
  transforms: readonly FeatureTransform[],
  { first, levels }: StyleDecoderConfig,
): Sym {
  const style = (i: number): Sym => (styles[i] ?? styles[0]) as Sym;
  const noise = (i: number): Sym => {
    const side = 2 ** ((i + 5) >> 1);
    return p.at('noises').get(`noise${i}`, [1, 1, side, side]);
  };
  return p.module(() => {
    let x = styleConv(
      p.at('style_conv1'),
      p.at('constant_input').get('weight', [1, first, 4, 4]),
      style(0),
      noise(0),
      first,
    );
    let image = toRgb(p.at('to_rgb1'), x, style(1));
    for (const [level, channels] of levels.entries()) {
      const i = 2 * level + 1;
      const convs = p.at('style_convs');
      x = styleConv(convs.at(2 * level), doubleSmoothly(x), style(i), noise(i), channels);
      const transform = transforms[level];
      if (transform) x = transformed(x, transform);
      x = styleConv(convs.at(2 * level + 1), x, style(i + 1), noise(i + 1), channels);
      image = add(toRgb(p.at('to_rgbs').at(level), x, style(i + 2)), doubleSmoothly(image));
    }
    return image;
  });
}
