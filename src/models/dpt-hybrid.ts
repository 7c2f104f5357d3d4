/**
 * MiDaS 3's `dpt_hybrid` (Ranftl et al. 2021, "Vision Transformers for Dense Prediction", arXiv 2103.13413): a ResNet's features are the tokens of
 * a vision transformer; two stages and two blocks are joined from the deepest. Under the names of Stability's depth model (`depth_model.model.`),
 * which are those of timm's `vit_base_resnet50_384`.
 */

import type { DptHybridConfig } from '../config/network-config.ts';
import {
  add,
  attention,
  concat,
  constant,
  conv2d,
  expand,
  gelu,
  layerNorm,
  maxPool,
  pad,
  relu,
  reshape,
  slice,
  split,
  transpose,
} from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { linearLayer } from '../nn/linear.ts';
import { groupNormLayer, layerNormLayer } from '../nn/norm.ts';
import { bilinearAlignedMatrix, bilinearMatrix, resizeBy } from '../nn/resize-matrix.ts';
import { toTokens } from '../nn/tokens.ts';
import { float32 } from '../tensor/tensor.ts';
import type { ImageSize } from './spatial-rescaler.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Padding as TensorFlow's `same`: what is odd goes to the end. */
function padSame(x: Sym, kernel: number, stride: number, value = 0): Sym {
  const missing = [2, 3].map((axis) => {
    const length = fixedSize(x, axis);
    return Math.max(0, (Math.ceil(length / stride) - 1) * stride + kernel - length);
  });
  const [rows = 0, columns = 0] = missing;
  if (rows + columns === 0) return x;
  const before = [0, 0, rows >> 1, columns >> 1];
  return pad(x, before, [0, 0, rows - (rows >> 1), columns - (columns >> 1)], value);
}

/** A convolution whose kernels are standardised (Qiao et al. 2019, arXiv 1903.10520), padded as `same`. */
function standardConv(p: Params, x: Sym, out: number, kernel: number, stride = 1): Sym {
  const channels = fixedSize(x, 1);
  return p.module(() => {
    const size = channels * kernel * kernel;
    const flat = reshape(p.get('weight', [out, channels, kernel, kernel]), [out, size]);
    const ones = constant(x, float32([size], new Float32Array(size).fill(1)));
    const zeros = constant(x, float32([size], new Float32Array(size)));
    const standard = layerNorm(flat, ones, zeros, { epsilon: 1e-8 });
    const weight = reshape(standard, [out, channels, kernel, kernel]);
    return conv2d(padSame(x, kernel, stride), weight, undefined, { stride, padding: 0 });
  });
}

const norm = (p: Params, x: Sym): Sym => groupNormLayer(p, x, { groups: 32, epsilon: 1e-5 });

/** A bottleneck of the ResNet. */
function bottleneck(p: Params, x: Sym, out: number, stride: number): Sym {
  const isChanged = stride !== 1 || fixedSize(x, 1) !== out;
  const side = p.at('downsample');
  const shortcut = isChanged ? norm(side.at('norm'), standardConv(side.at('conv'), x, out, 1, stride)) : x;
  let h = relu(norm(p.at('norm1'), standardConv(p.at('conv1'), x, out / 4, 1)));
  h = relu(norm(p.at('norm2'), standardConv(p.at('conv2'), h, out / 4, 3, stride)));
  h = norm(p.at('norm3'), standardConv(p.at('conv3'), h, out, 1));
  return relu(add(h, shortcut));
}

/** The outputs of the three stages, at a quarter, an eighth and a sixteenth of the sides. */
function backbone(p: Params, x: Sym, { stem, stage_blocks, stage_widths }: DptHybridConfig): Sym[] {
  let h = relu(norm(p.at('stem.norm'), standardConv(p.at('stem.conv'), x, stem, 7, 2)));
  h = maxPool(padSame(h, 3, 2, Number.NEGATIVE_INFINITY), { kernel: 3, stride: 2, padding: 0 });
  return stage_widths.map((width, stage) => {
    for (let block = 0; block < (stage_blocks[stage] ?? 0); block++)
      h = bottleneck(p.at('stages').at(stage).at('blocks').at(block), h, width, block === 0 && stage > 0 ? 2 : 1);
    return h;
  });
}

/** Learned positions, stretched to the grid of this picture. */
function positions(p: Params, { hidden_size: width, grid }: DptHybridConfig, rows: number, columns: number): Sym {
  const all = p.get('pos_embed', [1, 1 + grid * grid, width]);
  if (rows === grid && columns === grid) return all;
  const image = reshape(transpose(slice(all, 1, 1, 1 + grid * grid), [0, 2, 1]), [1, width, grid, grid]);
  const stretched = resizeBy(image, bilinearMatrix(grid, rows), bilinearMatrix(grid, columns));
  return concat([slice(all, 1, 0, 1), toTokens(stretched)], 1);
}

function transformerBlock(p: Params, x: Sym, config: DptHybridConfig): Sym {
  const { hidden_size: width, num_attention_heads: heads, intermediate_size: inner } = config;
  const qkv = linearLayer(p.at('attn.qkv'), layerNormLayer(p.at('norm1'), x, 1e-6), 3 * width);
  const [q, k, v] = split(qkv, 2, [width, width, width]) as [Sym, Sym, Sym];
  const h = add(x, linearLayer(p.at('attn.proj'), attention(q, k, v, { heads }), width));
  const wide = gelu(linearLayer(p.at('mlp.fc1'), layerNormLayer(p.at('norm2'), h, 1e-6), inner));
  return add(h, linearLayer(p.at('mlp.fc2'), wide, width));
}

/** A block's tokens as an image, with what the class token knows. */
function asImage(p: Params, tokens: Sym, width: number, rows: number, columns: number): Sym {
  const count = rows * columns;
  const own = slice(tokens, 1, 1, 1 + count);
  const readout = expand(slice(tokens, 1, 0, 1), [1, count, width]);
  const mixed = gelu(linearLayer(p.at('0.project.0'), concat([own, readout], 2), width));
  const image = reshape(transpose(mixed, [0, 2, 1]), [1, width, rows, columns]);
  return convLayer(p.at('3'), image, width, { kernel: 1 });
}

function residual(p: Params, x: Sym): Sym {
  const channels = fixedSize(x, 1);
  const h = convLayer(p.at('conv1'), relu(x), channels, { kernel: 3 });
  return add(convLayer(p.at('conv2'), relu(h), channels, { kernel: 3 }), x);
}

function doubled(x: Sym): Sym {
  const [height, width] = [fixedSize(x, 2), fixedSize(x, 3)];
  return resizeBy(x, bilinearAlignedMatrix(height, 2 * height), bilinearAlignedMatrix(width, 2 * width));
}

/** x [1, 3, h, w] about [-1, 1], sides multiples of 32 → depth [1, 1, h, w]; near is large. */
function depthOf(p: Params, x: Sym, config: DptHybridConfig): Sym {
  const { hidden_size: width, features, hooks, num_hidden_layers } = config;
  const vit = p.at('pretrained.model');
  const [first, second, deepest] = backbone(vit.at('patch_embed.backbone'), x, config) as [Sym, Sym, Sym];
  const patches = convLayer(vit.at('patch_embed.proj'), deepest, width, { kernel: 1 });
  const [rows, columns] = [fixedSize(patches, 2), fixedSize(patches, 3)];
  let tokens = add(
    concat([vit.get('cls_token', [1, 1, width]), toTokens(patches)], 1),
    positions(vit, config, rows, columns),
  );
  const hooked: Sym[] = [];
  for (let i = 0; i < num_hidden_layers; i++) {
    tokens = transformerBlock(vit.at('blocks').at(i), tokens, config);
    if (hooks.includes(i)) hooked.push(tokens);
  }
  const [third, fourth] = hooked.map((state, i) =>
    asImage(p.at(`pretrained.act_postprocess${i + 3}`), state, width, rows, columns),
  ) as [Sym, Sym];
  const halved = convLayer(p.at('pretrained.act_postprocess4.4'), fourth, width, { kernel: 3, stride: 2 });
  const scratch = p.at('scratch');
  const levels = [first, second, third, halved].map((level, i) =>
    convLayer(scratch.at(`layer${i + 1}_rn`), level, features, { kernel: 3, bias: false }),
  );
  let fused: Sym | undefined;
  for (const [i, level] of [...levels.entries()].reverse()) {
    const block = scratch.at(`refinenet${i + 1}`);
    const sum: Sym = fused ? add(fused, residual(block.at('resConfUnit1'), level)) : level;
    fused = convLayer(block.at('out_conv'), doubled(residual(block.at('resConfUnit2'), sum)), features, { kernel: 1 });
  }
  const head = scratch.at('output_conv');
  const half = doubled(convLayer(head.at(0), fused as Sym, features / 2, { kernel: 3 }));
  return relu(convLayer(head.at(4), relu(convLayer(head.at(2), half, 32, { kernel: 3 })), 1, { kernel: 1 }));
}

/** x [1, 3, h, w] of one size → `depth` [1, 1, h, w]. */
export function traceDptHybrid(
  config: DptHybridConfig,
  options: NetworkTraceOptions & { readonly size?: ImageSize } = {},
): Graph {
  const [height, width] = options.size ?? [16 * config.grid, 16 * config.grid];
  return traceNetwork(
    { x: { dtype: 'float32', shape: [1, 3, height, width] } },
    (p, given) => ({ depth: depthOf(p, need(given, 'x'), config) }),
    options,
  );
}
