/** The last part that SwinIR and DAT share: from features to the enlarged picture, and the residual convolutions before it. */

import { axis, type Entries, unknown } from '../../checkpoints/infer/shapes.ts';
import { leakyRelu } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { pixelShuffle } from '../../nn/pixel-shuffle.ts';
import { double } from '../../nn/resample.ts';

/** From features to the picture, with the original's names. */
export type Upsampler =
  | { readonly kind: 'pixelshuffle'; readonly factors: readonly number[]; readonly features: number }
  | { readonly kind: 'pixelshuffledirect'; readonly factor: number }
  | { readonly kind: 'nearest+conv'; readonly doublings: number; readonly features: number }
  /** Same size: the network's answer is added to the picture. */
  | { readonly kind: 'none' };

export function readUpsampler(entries: Entries, channels: number, what: string): Upsampler {
  if (entries.has('conv_before_upsample.0.weight')) {
    const features = axis(entries, 'conv_before_upsample.0.weight', 4, 0, what);
    if (entries.has('conv_up1.weight'))
      return { kind: 'nearest+conv', features, doublings: entries.has('conv_up2.weight') ? 2 : 1 };
    const factors: number[] = [];
    while (entries.has(`upsample.${2 * factors.length}.weight`))
      factors.push(wholeRoot(axis(entries, `upsample.${2 * factors.length}.weight`, 4, 0, what) / features, what));
    return { kind: 'pixelshuffle', factors, features };
  }
  if (!entries.has('upsample.0.weight')) return { kind: 'none' };
  return {
    kind: 'pixelshuffledirect',
    factor: wholeRoot(axis(entries, 'upsample.0.weight', 4, 0, what) / channels, what),
  };
}

function wholeRoot(square: number, what: string): number {
  const root = Math.sqrt(square);
  if (!Number.isInteger(root)) throw unknown(what, `its upsampling layer enlarges by the square root of ${square}`);
  return root;
}

/** Scale factor of the picture per side. */
export function scaleOf(upsampler: Upsampler): number {
  if (upsampler.kind === 'pixelshuffle') return upsampler.factors.reduce((product, factor) => product * factor, 1);
  if (upsampler.kind === 'pixelshuffledirect') return upsampler.factor;
  return upsampler.kind === 'nearest+conv' ? 2 ** upsampler.doublings : 1;
}

/** Features [b, c, h, w] → picture [b, channels, scale · h, scale · w]. */
export function reconstruct(p: Params, x: Sym, upsampler: Upsampler, channels: number): Sym {
  const before = (features: number): Sym =>
    leakyRelu(convLayer(p.at('conv_before_upsample.0'), x, features, { kernel: 3 }), 0.01);
  const last = (h: Sym): Sym => convLayer(p.at('conv_last'), h, channels, { kernel: 3 });
  switch (upsampler.kind) {
    case 'pixelshuffle': {
      const { factors, features } = upsampler;
      const enlarged = factors.reduce(
        (h, factor, i) =>
          pixelShuffle(convLayer(p.at('upsample').at(2 * i), h, features * factor ** 2, { kernel: 3 }), factor),
        before(features),
      );
      return last(enlarged);
    }
    case 'pixelshuffledirect':
      return pixelShuffle(
        convLayer(p.at('upsample.0'), x, channels * upsampler.factor ** 2, { kernel: 3 }),
        upsampler.factor,
      );
    case 'nearest+conv': {
      const { doublings, features } = upsampler;
      let h = before(features);
      for (let i = 1; i <= doublings; i++)
        h = leakyRelu(convLayer(p.at(`conv_up${i}`), double(h), features, { kernel: 3 }), 0.2);
      return last(leakyRelu(convLayer(p.at('conv_hr'), h, features, { kernel: 3 }), 0.2));
    }
    case 'none':
      return last(x);
  }
}

/** The convolution after a group of blocks: one 3x3, or three through a quarter of the channels (`3conv`). */
export function residualConv(p: Params, x: Sym, form: '1conv' | '3conv'): Sym {
  const width = fixedSize(x, 1);
  if (form === '1conv') return convLayer(p, x, width, { kernel: 3 });
  const narrow = Math.floor(width / 4);
  const first = leakyRelu(convLayer(p.at(0), x, narrow, { kernel: 3 }), 0.2);
  const second = leakyRelu(convLayer(p.at(2), first, narrow, { kernel: 1 }), 0.2);
  return convLayer(p.at(4), second, width, { kernel: 3 });
}

/** Mean colour of DIV2K, which the networks of the SwinIR family take away first; grey pictures have none. */
export const meanColour = (channels: number): readonly number[] =>
  channels === 3 ? [0.4488, 0.4371, 0.404] : new Array<number>(channels).fill(0);
