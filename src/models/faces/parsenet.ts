/**
 * ParseNet (of PSFR-GAN; Chen et al. 2021, arXiv 2009.08709): which part of a face each pixel is, in 19 classes. `parsing_parsenet.pth` of
 * facexlib.
 */

import { add, leakyRelu } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { double } from '../../nn/resample.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { reflectionPad } from '../annotators/layers.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { FaceParserNetwork } from './face-network.ts';
import { norm } from './fixed-norm.ts';

interface ParseNetConfig {
  /** Channels of the first convolution, and after each block of the three parts. */
  readonly first: number;
  readonly encoder: readonly number[];
  readonly body: readonly number[];
  readonly decoder: readonly number[];
  readonly classes: number;
}

const title = 'ParseNet';

type Scale = 'none' | 'down' | 'up';

interface ConvShape {
  readonly out: number;
  readonly scale?: Scale;
  /** Batch norm in place of a bias. */
  readonly normed?: boolean;
}

/** `ConvLayer`: doubled before it, or halved by its stride; the image goes on as its reflection. */
function conv(p: Params, x: Sym, { out, scale = 'none', normed = false }: ConvShape): Sym {
  return p.module(() => {
    const padded = reflectionPad(scale === 'up' ? double(x) : x, 1);
    const stride = scale === 'down' ? 2 : 1;
    const made = convLayer(p.at('conv2d'), padded, out, { kernel: 3, stride, padding: 0, bias: !normed });
    return normed ? norm(p.at('norm.norm'), made) : made;
  });
}

function residual(p: Params, x: Sym, out: number, scale: Scale): Sym {
  return p.module(() => {
    const straight = scale === 'none' && fixedSize(x, 1) === out;
    const skip = straight ? x : conv(p.at('shortcut_func'), x, { out, scale });
    const inner = conv(p.at('conv1'), x, { out, scale: scale === 'up' ? 'up' : 'none', normed: true });
    const outer = { out, scale: scale === 'down' ? 'down' : 'none', normed: true } as const;
    return add(skip, conv(p.at('conv2'), leakyRelu(inner, 0.2), outer));
  });
}

function parseNet(p: Params, x: Sym, { first, encoder, body, decoder, classes }: ParseNetConfig): Sym {
  let h = conv(p.at('encoder.0'), x, { out: first });
  for (const [i, out] of encoder.entries()) h = residual(p.at('encoder').at(i + 1), h, out, 'down');
  const features = h;
  for (const [i, out] of body.entries()) h = residual(p.at('body').at(i), h, out, 'none');
  h = add(features, h);
  for (const [i, out] of decoder.entries()) h = residual(p.at('decoder').at(i), h, out, 'up');
  return conv(p.at('out_mask_conv'), h, { out: classes });
}

export const isParseNet = (entries: Entries): boolean =>
  entries.has('out_mask_conv.conv2d.weight') && entries.has('encoder.0.conv2d.weight');

/** Sizes from shapes. */
export function readParseNet(weights: WeightSource): FaceParserNetwork {
  const { entries } = weights;
  const blocks = (part: string, from: number): number[] =>
    Array.from({ length: countOf(entries, `${part}.`, title) - from }, (_, i) =>
      axis(entries, `${part}.${i + from}.conv2.conv2d.weight`, 4, 0, title),
    );
  const config: ParseNetConfig = {
    first: axis(entries, 'encoder.0.conv2d.weight', 4, 0, title),
    encoder: blocks('encoder', 1),
    body: blocks('body', 0),
    decoder: blocks('decoder', 0),
    classes: axis(entries, 'out_mask_conv.conv2d.weight', 4, 0, title),
  };
  return {
    kind: 'parser',
    title,
    weights,
    trace: ([height, width]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) => ({
        classes: parseNet(p, need(given, 'x'), config),
      })),
  };
}
