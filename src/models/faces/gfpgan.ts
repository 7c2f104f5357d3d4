/**
 * GFPGAN (Wang et al. 2021, "Towards Real-World Blind Face Restoration with Generative Facial Prior", arXiv 2101.04061) in its clean form:
 * `GFPGANv1.2.pth` to `GFPGANv1.4.pth`. A U-Net cleans the face and steers a StyleGAN2 generator that draws it.
 */

import { add, leakyRelu, reshape, slice } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { StableDiffusionError } from '../../errors.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { averageHalf } from '../../nn/resample.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { faceRestorer, type FaceRestorerNetwork } from './face-network.ts';
import { doubleSmoothly, type FeatureTransform, styleDecoder, type StyleDecoderConfig } from './style-decoder.ts';

interface GfpganConfig {
  /** Channels of the first convolution, after each halving, and after each doubling. */
  readonly first: number;
  readonly down: readonly number[];
  readonly up: readonly number[];
  /** Channels of the smallest image. */
  readonly middle: number;
  /** Channels of the scales and shifts of each size. */
  readonly transformed: readonly number[];
  /** Styles that the U-Net makes: one, or one for each layer. */
  readonly styles: number;
  readonly decoder: StyleDecoderConfig;
  readonly side: number;
}

const title = 'GFPGAN';

const conv = (p: Params, x: Sym, out: number, kernel = 3): Sym => convLayer(p, x, out, { kernel });
const activated = (x: Sym): Sym => leakyRelu(x, 0.2);

/** `ResBlock`: `resized` halves or doubles the sides of both ways. */
function residual(p: Params, x: Sym, out: number, resized: (x: Sym) => Sym): Sym {
  return p.module(() => {
    const h = resized(activated(conv(p.at('conv1'), x, fixedSize(x, 1))));
    const skip = convLayer(p.at('skip'), resized(x), out, { kernel: 1, bias: false });
    return add(activated(conv(p.at('conv2'), h, out)), skip);
  });
}

/** `condition_scale` and `condition_shift`: two convolutions each. */
function transformFrom(p: Params, level: number, x: Sym, out: number): FeatureTransform {
  const of = (name: string): Sym => {
    const scope = p.at(name).at(level);
    return conv(scope.at(2), activated(conv(scope.at(0), x, fixedSize(x, 1))), out);
  };
  return { scale: of('condition_scale'), shift: of('condition_shift') };
}

function gfpgan(p: Params, x: Sym, config: GfpganConfig): Sym {
  const { first, down, up, middle, transformed, styles, decoder } = config;
  let h = activated(conv(p.at('conv_body_first'), x, first, 1));
  const skips = down.map((out, i) => (h = residual(p.at('conv_body_down').at(i), h, out, averageHalf))).toReversed();
  h = activated(conv(p.at('final_conv'), h, middle));
  const { styleWidth } = decoder;
  const code = linearLayer(p.at('final_linear'), reshape(h, [1, middle * 16]), styles * styleWidth);
  const transforms = up.map((out, i) => {
    h = residual(p.at('conv_body_up').at(i), add(h, skips[i] as Sym), out, doubleSmoothly);
    return transformFrom(p, i, h, transformed[i] as number);
  });
  const each = Array.from({ length: styles }, (_, i) => slice(code, 1, i * styleWidth, (i + 1) * styleWidth));
  return styleDecoder(p.at('stylegan_decoder'), each, transforms, decoder);
}

export const isGfpgan = (entries: Entries): boolean =>
  entries.has('toRGB.0.weight') && entries.has('stylegan_decoder.style_mlp.1.weight');

function configOf(entries: Entries): GfpganConfig {
  const channels = (name: string, rank = 4, of = 0): number => axis(entries, `${name}.weight`, rank, of, title);
  const levels = countOf(entries, 'conv_body_down.', title);
  const each = (name: (level: number) => string, rank = 4, of = 0): number[] =>
    Array.from({ length: levels }, (_, level) => channels(name(level), rank, of));
  const styleWidth = channels('stylegan_decoder.style_conv1.modulated_conv.modulation', 2, 1);
  const styles = channels('final_linear', 2) / styleWidth;
  if (styles !== 1 && styles !== 2 * levels + 2)
    throw new StableDiffusionError(
      'model-unknown',
      `A ${title} network for ${2 ** (levels + 2)} pixels takes ${2 * levels + 2} styles; this one makes ${styles}.`,
    );
  return {
    first: channels('conv_body_first'),
    down: each((level) => `conv_body_down.${level}.conv2`),
    up: each((level) => `conv_body_up.${level}.conv2`),
    middle: channels('final_conv'),
    transformed: each((level) => `condition_scale.${level}.2`),
    styles,
    decoder: {
      first: channels('stylegan_decoder.constant_input', 4, 1),
      levels: each((level) => `stylegan_decoder.style_convs.${2 * level}.modulated_conv`, 5, 1),
      styleWidth,
    },
    side: 2 ** (levels + 2),
  };
}

/** Sizes from shapes. Throws `model-unknown` for GFPGAN's first form, whose layers are StyleGAN2's own. */
export function readGfpgan(weights: WeightSource): FaceRestorerNetwork {
  if (!weights.entries.has('conv_body_first.weight'))
    throw new StableDiffusionError(
      'model-unknown',
      `${weights.label} is GFPGAN v1 in its first form, which needs StyleGAN2's filters and is not supported. Take v1.2, v1.3 or v1.4.`,
    );
  const config = configOf(weights.entries);
  return faceRestorer({ title, weights, side: config.side }, (p, x) => gfpgan(p, x, config));
}
