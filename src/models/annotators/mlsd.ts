/** Straight lines (Gu et al. 2022, "Towards Light-weight and Real-time Line Segment Detection"), the large network on MobileNetV2: `mlsd_large_512_fp32.pth`. */

import { add, clamp, concat, conv2d, relu, slice } from '../../graph/functions.ts';
import type { Pads } from '../../graph/operations.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { batchNormFixed } from '../../nn/batch-norm.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { bilinearAlignedMatrix, resizeBy } from '../../nn/resize-matrix.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture } from './annotator.ts';
import { dilatedConv } from './layers.ts';

function batchNorm(p: Params, x: Sym): Sym {
  return p.module(() => {
    const channels = fixedSize(x, 1);
    const get = (name: string): Sym => p.get(name, [channels]);
    return batchNormFixed(
      x,
      { mean: get('running_mean'), variance: get('running_var') },
      get('weight'),
      get('bias'),
      1e-5,
    );
  });
}

const relu6 = (x: Sym): Sym => clamp(x, 0, 6);

/** A convolution without bias, batch norm and ReLU6; with stride 2 it is padded at the right and the bottom only, as in TensorFlow Lite. */
function mobileConv(p: Params, x: Sym, out: number, kernel: number, stride: 1 | 2, depthwise: boolean): Sym {
  const channels = fixedSize(x, 1);
  const weight = p.at(0).get('weight', [out, depthwise ? 1 : channels, kernel, kernel]);
  const padding: Pads = stride === 2 ? [0, 0, 1, 1] : [kernel >> 1, kernel >> 1, kernel >> 1, kernel >> 1];
  const h = conv2d(x, weight, undefined, { stride, padding, groups: depthwise ? channels : 1 });
  return relu6(batchNorm(p.at(1), h));
}

/** MobileNetV2's inverted residual block (Sandler et al. 2018). */
function invertedResidual(p: Params, x: Sym, out: number, stride: 1 | 2, expand: number): Sym {
  const channels = fixedSize(x, 1);
  const conv = p.at('conv');
  let index = 0;
  let h = x;
  if (expand !== 1) h = mobileConv(conv.at(index++), h, channels * expand, 1, 1, false);
  h = mobileConv(conv.at(index++), h, channels * expand, 3, stride, true);
  h = convLayer(conv.at(index++), h, out, { kernel: 1, bias: false });
  h = batchNorm(conv.at(index), h);
  return stride === 1 && channels === out ? add(x, h) : h;
}

/** Expansion, width, number and first stride of the blocks. */
const mobileBlocks = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
] as const;

/** Features after the last block of each row. */
function backbone(p: Params, x: Sym): Sym[] {
  const features = p.at('features');
  let h = mobileConv(features.at(0), x, 32, 3, 2, false);
  let index = 1;
  return mobileBlocks.map(([expand, width, count, first]) => {
    for (let i = 0; i < count; i++) h = invertedResidual(features.at(index++), h, width, i === 0 ? first : 1, expand);
    return h;
  });
}

/** A 3x3 or 1x1 convolution, batch norm, ReLU: `0` and `1` of a sequence. */
const plainConv = (p: Params, x: Sym, out: number, kernel: number): Sym =>
  relu(batchNorm(p.at(1), convLayer(p.at(0), x, out, { kernel })));

/** Features of a level beside those of the level below, doubled where the levels differ. */
function joinLevels(p: Params, fine: Sym, coarse: Sym, upscale: boolean): Sym {
  let below = plainConv(p.at('conv1'), coarse, 64, 1);
  const own = plainConv(p.at('conv2'), fine, 64, 1);
  const [height, width] = [fixedSize(below, 2), fixedSize(below, 3)];
  if (upscale)
    below = resizeBy(below, bilinearAlignedMatrix(height, 2 * height), bilinearAlignedMatrix(width, 2 * width));
  return concat([own, below], 1);
}

/** x [1, 4, h, w]: RGB and a channel of ones, over 127.5, minus 1; sides multiples of 32 → `tpMap` [1, 9, h / 2, w / 2]: centre and displacements. */
function mlsdNet(p: Params, x: Sym): Sym {
  const [c1, c2, c3, c4, c5] = backbone(p.at('backbone'), x) as [Sym, Sym, Sym, Sym, Sym];
  let h = c5;
  for (const [i, fine] of [c4, c3, c2, c1].entries()) {
    h = joinLevels(p.at(`block${15 + 2 * i}`), fine, h, i > 0);
    const block = p.at(`block${16 + 2 * i}`);
    h = add(plainConv(block.at('conv1'), h, 128, 3), h);
    h = plainConv(block.at('conv2'), h, 64, 3);
  }
  const last = p.at('block23');
  h = relu(batchNorm(last.at('conv1.1'), dilatedConv(last.at('conv1.0'), h, 64, 5)));
  h = plainConv(last.at('conv2'), h, 64, 3);
  return slice(convLayer(last.at('conv3'), h, 16, { kernel: 1 }), 1, 7, 16);
}

export const mlsd: AnnotatorArchitecture = {
  kind: 'mlsd',
  title: 'MLSD',
  file: 'mlsd_large_512_fp32.pth',
  matches: (entries) => entries.has('backbone.features.0.0.weight') && entries.has('block23.conv3.weight'),
  read: (weights) => ({
    kind: 'mlsd',
    title: 'MLSD',
    weights,
    trace: ([height, width]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 4, height, width] } }, (p, given) => ({
        tpMap: mlsdNet(p, need(given, 'x')),
      })),
  }),
};
