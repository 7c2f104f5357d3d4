/** The blocks of DAT: attention in windows of two shapes, attention over channels, and the feed-forward layer with a spatial gate. */

import {
  add,
  attention,
  concat,
  constant,
  conv2d,
  gelu,
  matmul,
  maximum,
  mean,
  mul,
  pad,
  relu,
  reshape,
  sigmoid,
  slice,
  softmax,
  split,
  sqrt,
  sum,
  transpose,
  div,
} from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { batchNormFixed } from '../../nn/batch-norm.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { toImage, toTokens } from '../../nn/tokens.ts';
import { fromWindows, pairBias, roll, shiftMask, toWindows, type WindowSize } from '../../nn/windows.ts';
import { float32 } from '../../tensor/tensor.ts';

export interface BlockShape {
  /** A value of the picture's height and width, [1, c, h, w]. */
  readonly image: Sym;
  readonly heads: number;
  /** Height and width of the first branch's windows; the second branch's are turned. */
  readonly split: WindowSize;
  readonly qkvBias: boolean;
  readonly shifted: boolean;
}

/** `torch.nn.BatchNorm2d` in evaluation. */
function batchNormLayer(p: Params, x: Sym): Sym {
  const c = [fixedSize(x, 1)];
  return p.module(() =>
    batchNormFixed(
      x,
      { mean: p.get('running_mean', c), variance: p.get('running_var', c) },
      p.get('weight', c),
      p.get('bias', c),
      1e-5,
    ),
  );
}

/** Depth-wise 3x3 convolution. */
function depthwise(p: Params, x: Sym): Sym {
  const c = fixedSize(x, 1);
  return p.module(() => conv2d(x, p.get('weight', [c, 1, 3, 3]), p.get('bias', [c]), { padding: 1, groups: c }));
}

const convolution = (p: Params, image: Sym): Sym => gelu(batchNormLayer(p.at(1), depthwise(p.at(0), image)));

/** A weight for each channel, [1, c, 1, 1]. */
function channelMap(p: Params, image: Sym): Sym {
  const c = fixedSize(image, 1);
  const pooled = mean(image, [2, 3], { keepDims: true });
  const inner = gelu(batchNormLayer(p.at(2), convLayer(p.at(1), pooled, Math.floor(c / 8), { kernel: 1 })));
  return sigmoid(convLayer(p.at(4), inner, c, { kernel: 1 }));
}

/** A weight for each pixel, [1, 1, h, w]. */
function spatialMap(p: Params, image: Sym): Sym {
  const c = fixedSize(image, 1);
  const inner = gelu(batchNormLayer(p.at(1), convLayer(p.at(0), image, Math.floor(c / 16), { kernel: 1 })));
  return sigmoid(convLayer(p.at(3), inner, 1, { kernel: 1 }));
}

/** The bias of each pair of pixels, from a small network over their offsets (`DynamicPosBias`): [1, heads, n, n]. */
function dynamicBias(p: Params, like: Sym, [wh, ww]: WindowSize, heads: number, width: number): Sym {
  const offsets: number[] = [];
  for (let y = 1 - wh; y < wh; y++) for (let x = 1 - ww; x < ww; x++) offsets.push(y, x);
  let h = linearLayer(p.at('pos_proj'), constant(like, float32([offsets.length / 2, 2], offsets)), width);
  for (const [i, out] of [width, width, heads].entries()) {
    const layer = p.at(`pos${i + 1}`);
    h = linearLayer(layer.at(2), relu(layerNormLayer(layer.at(0), h)), out);
  }
  return pairBias(h, [wh, ww], heads);
}

/** One branch: q, k, v of half of the channels, each [1, h, w, c], attended in windows. */
function branch(p: Params, qkv: readonly Sym[], window: WindowSize, heads: number, shifted: boolean): Sym {
  const [q, k, v] = qkv as [Sym, Sym, Sym];
  const size: WindowSize = [fixedSize(q, 1), fixedSize(q, 2)];
  const c = fixedSize(q, 3);
  const shift = shifted ? ([Math.floor(window[0] / 2), Math.floor(window[1] / 2)] as const) : ([0, 0] as const);
  const windows = (x: Sym): Sym => toWindows(roll(x, [-shift[0], -shift[1]]), window);
  // `dim // 4` of the branch, and once more inside of DynamicPosBias.
  const bias = dynamicBias(p.at('pos'), q, window, heads, Math.floor(Math.floor(c / 4) / 4));
  const mask = shifted ? add(bias, constant(q, shiftMask(size, window, shift))) : bias;
  const attended = attention(windows(q), windows(k), windows(v), { heads, mask });
  return roll(fromWindows(attended, window, size), shift);
}

/** `Adaptive_Spatial_Attention`: tokens [1, h · w, c] → the same shape. */
export function spatialAttention(
  p: Params,
  x: Sym,
  { image, heads, split: window, qkvBias, shifted }: BlockShape,
): Sym {
  const c = fixedSize(x, 2);
  const [h, w] = [fixedSize(image, 2), fixedSize(image, 3)];
  const larger = Math.max(...window);
  const [below, right] = [h, w].map((side) => (larger - (side % larger)) % larger) as [number, number];
  const parts = split(linearLayer(p.at('qkv'), x, 3 * c, { bias: qkvBias }), 2, [c, c, c]) as [Sym, Sym, Sym];
  const padded = parts.map((part) => pad(reshape(part, [1, h, w, c]), [0, 0, 0, 0], [0, below, right, 0]));
  const half = c / 2;
  const turned: WindowSize = [window[1], window[0]];
  const attended = [window, turned].map((shape, i) => {
    const own = padded.map((part) => slice(part, 3, i * half, (i + 1) * half));
    const made = branch(p.at('attns').at(i), own, shape, heads / 2, shifted);
    return reshape(slice(slice(made, 1, 0, h), 2, 0, w), [1, h * w, half]);
  });
  const attention = toImage(concat(attended, 2), image);
  const convolved = convolution(p.at('dwconv'), toImage(parts[2], image));
  const mixed = add(
    mul(attention, channelMap(p.at('channel_interaction'), convolved)),
    mul(spatialMap(p.at('spatial_interaction'), attention), convolved),
  );
  return linearLayer(p.at('proj'), toTokens(mixed), c);
}

/** Rows of unit length along the last axis (`torch.nn.functional.normalize`). */
const unitRows = (x: Sym): Sym => div(x, maximum(sqrt(sum(mul(x, x), [3], { keepDims: true })), 1e-12));

/** `Adaptive_Channel_Attention`: channels attend to channels; tokens [1, h · w, c] → the same shape. */
export function channelAttention(p: Params, x: Sym, { image, heads, qkvBias }: BlockShape): Sym {
  const [n, c] = [fixedSize(x, 1), fixedSize(x, 2)];
  const qkv = linearLayer(p.at('qkv'), x, 3 * c, { bias: qkvBias });
  // [3, heads, c / heads, n]
  const channels = transpose(reshape(qkv, [n, 3, heads, c / heads]), [1, 2, 3, 0]);
  const [q, k, v] = split(channels, 0, [1, 1, 1]) as [Sym, Sym, Sym];
  const temperature = reshape(p.get('temperature', [heads, 1, 1]), [1, heads, 1, 1]);
  const scores = mul(matmul(unitRows(q), unitRows(k), { transposeB: true }), temperature);
  const made = transpose(matmul(softmax(scores, -1), v), [0, 3, 1, 2]);
  const attention = toImage(reshape(made, [1, n, c]), image);
  const convolved = convolution(p.at('dwconv'), reshape(v, [1, c, fixedSize(image, 2), fixedSize(image, 3)]));
  const mixed = add(
    mul(attention, spatialMap(p.at('spatial_interaction'), convolved)),
    mul(convolved, channelMap(p.at('channel_interaction'), attention)),
  );
  return linearLayer(p.at('proj'), toTokens(mixed), c);
}

/** `SGFN`: half of the hidden values, convolved depth-wise, gates the other half. */
export function gatedFeedForward(p: Params, x: Sym, image: Sym, hidden: number): Sym {
  const half = hidden / 2;
  const [value, gate] = split(gelu(linearLayer(p.at('fc1'), x, hidden)), 2, [half, half]) as [Sym, Sym];
  const normed = layerNormLayer(p.at('sg.norm'), gate);
  const convolved = depthwise(p.at('sg.conv'), toImage(normed, image));
  return linearLayer(p.at('fc2'), mul(value, toTokens(convolved)), fixedSize(x, 2));
}
