/**
 * Depth by a vision transformer (Ranftl et al. 2021, "Vision Transformers for Dense Prediction"; MiDaS 3's dpt-large): safetensors or torch
 * files with transformers' names (`DPTForDepthEstimation`), readout `project`.
 */

import { add, attention, concat, expand, gelu, relu, reshape, slice, transpose } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, shapeOf } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { bilinearAlignedMatrix, bilinearMatrix, resizeBy } from '../../nn/resize-matrix.ts';
import { toTokens } from '../../nn/tokens.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture, AnnotatorNetwork } from './annotator.ts';
import { growingConv } from './layers.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

interface DptConfig {
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly layers: number;
  /** Side of a patch, pixels, and of the grid of patches in training. */
  readonly patch: number;
  readonly grid: number;
  /** Channels of the four levels, and of the fusion. */
  readonly neck: readonly number[];
  readonly fusion: number;
}

/** Factors between the grid of patches and the four levels. */
const factors = [4, 2, 1, 0.5] as const;

/** Learned positions, stretched to another grid than that of training: [1, 1 + rows · columns, width]. */
function positions(p: Params, { width, grid }: DptConfig, rows: number, columns: number): Sym {
  const all = p.get('position_embeddings', [1, 1 + grid * grid, width]);
  if (rows === grid && columns === grid) return all;
  const image = reshape(transpose(slice(all, 1, 1, 1 + grid * grid), [0, 2, 1]), [1, width, grid, grid]);
  const stretched = resizeBy(image, bilinearMatrix(grid, rows), bilinearMatrix(grid, columns));
  return concat([slice(all, 1, 0, 1), toTokens(stretched)], 1);
}

function selfAttention(p: Params, x: Sym, { width, heads }: DptConfig): Sym {
  const of = (name: string): Sym => linearLayer(p.at('attention.attention').at(name), x, width);
  return linearLayer(p.at('attention.output.dense'), attention(of('query'), of('key'), of('value'), { heads }), width);
}

/** Hidden states: the embeddings, then one after each layer, [1, 1 + patches, width]. */
function encoder(p: Params, x: Sym, config: DptConfig): Sym[] {
  const { width, inner, patch, layers } = config;
  const embeddings = p.at('embeddings');
  const image = convLayer(embeddings.at('patch_embeddings.projection'), x, width, {
    kernel: patch,
    stride: patch,
    padding: 0,
  });
  const tokens = concat([embeddings.get('cls_token', [1, 1, width]), toTokens(image)], 1);
  const states = [add(tokens, positions(embeddings, config, fixedSize(image, 2), fixedSize(image, 3)))];
  for (let i = 0; i < layers; i++) {
    const layer = p.at('encoder.layer').at(i);
    const before = states[i] as Sym;
    const h = add(selfAttention(layer, layerNormLayer(layer.at('layernorm_before'), before, 1e-12), config), before);
    const wide = gelu(
      linearLayer(layer.at('intermediate.dense'), layerNormLayer(layer.at('layernorm_after'), h, 1e-12), inner),
    );
    states.push(add(linearLayer(layer.at('output.dense'), wide, width), h));
  }
  return states;
}

/** A hidden state as an image of one of the four levels, with what the class token knows. */
function reassemble(p: Params, state: Sym, index: number, config: DptConfig, rows: number, columns: number): Sym {
  const { width } = config;
  const count = rows * columns;
  const own = slice(state, 1, 1, 1 + count);
  const readout = expand(slice(state, 1, 0, 1), [1, count, width]);
  const mixed = gelu(linearLayer(p.at('readout_projects').at(index).at(0), concat([own, readout], 2), width));
  const image = reshape(transpose(mixed, [0, 2, 1]), [1, width, rows, columns]);
  const channels = config.neck[index] as number;
  const layer = p.at('layers').at(index);
  const projected = convLayer(layer.at('projection'), image, channels, { kernel: 1 });
  const factor = factors[index] as number;
  if (factor === 1) return projected;
  if (factor < 1) return convLayer(layer.at('resize'), projected, channels, { kernel: 3, stride: 1 / factor });
  return growingConv(layer.at('resize'), projected, factor);
}

function residual(p: Params, x: Sym): Sym {
  const channels = fixedSize(x, 1);
  const h = convLayer(p.at('convolution1'), relu(x), channels, { kernel: 3 });
  return add(convLayer(p.at('convolution2'), relu(h), channels, { kernel: 3 }), x);
}

function doubled(x: Sym): Sym {
  const [height, width] = [fixedSize(x, 2), fixedSize(x, 3)];
  return resizeBy(x, bilinearAlignedMatrix(height, 2 * height), bilinearAlignedMatrix(width, 2 * width));
}

/** The four levels joined from the deepest. */
function fuse(p: Params, levels: readonly Sym[]): Sym {
  let fused: Sym | undefined;
  for (const [i, level] of levels.toReversed().entries()) {
    const layer = p.at('layers').at(i);
    const sum: Sym = fused ? add(fused, residual(layer.at('residual_layer1'), sized(level, fused))) : level;
    const grown = doubled(residual(layer.at('residual_layer2'), sum));
    fused = convLayer(layer.at('projection'), grown, fixedSize(grown, 1), { kernel: 1 });
  }
  return fused as Sym;
}

/** x at the size of another image. */
function sized(x: Sym, like: Sym): Sym {
  const [height, width, wantedHeight, wantedWidth] = [x, x, like, like].map((value, i) =>
    fixedSize(value, 2 + (i % 2)),
  ) as [number, number, number, number];
  if (height === wantedHeight && width === wantedWidth) return x;
  return resizeBy(x, bilinearMatrix(height, wantedHeight), bilinearMatrix(width, wantedWidth));
}

/** x [1, 3, h, w] about [-1, 1], sides multiples of twice the patch → `depth` [1, h, w], near is large, and `hidden.N`. */
function dptNet(p: Params, x: Sym, config: DptConfig): Record<string, Sym> {
  const states = encoder(p.at('dpt'), x, config);
  const [rows, columns] = [fixedSize(x, 2) / config.patch, fixedSize(x, 3) / config.patch];
  const neck = p.at('neck');
  const levels = [1, 2, 3, 4].map((quarter, i) => {
    const state = states[(config.layers * quarter) / 4] as Sym;
    const image = reassemble(neck.at('reassemble_stage'), state, i, config, rows, columns);
    return convLayer(neck.at('convs').at(i), image, config.fusion, { kernel: 3, bias: false });
  });
  const fused = fuse(neck.at('fusion_stage'), levels);
  const head = p.at('head.head');
  const half = doubled(convLayer(head.at(0), fused, config.fusion / 2, { kernel: 3 }));
  const depth = relu(convLayer(head.at(4), relu(convLayer(head.at(2), half, 32, { kernel: 3 })), 1, { kernel: 1 }));
  return {
    depth: reshape(depth, [1, fixedSize(depth, 2), fixedSize(depth, 3)]),
    ...Object.fromEntries(states.map((state, i) => [`hidden.${i}`, state])),
  };
}

/** Sizes from shapes. `heads` is not in them: published networks have heads of 64. */
export function readDpt(weights: WeightSource, options: { readonly heads?: number } = {}): AnnotatorNetwork {
  const { entries } = weights;
  const what = 'DPT';
  const projection = shapeOf(entries, 'dpt.embeddings.patch_embeddings.projection.weight', 4, what);
  const [width = 1, , patch = 1] = projection;
  const config: DptConfig = {
    width,
    patch,
    inner: axis(entries, 'dpt.encoder.layer.0.intermediate.dense.weight', 2, 0, what),
    heads: options.heads ?? Math.max(1, width / 64),
    layers: countOf(entries, 'dpt.encoder.layer.', what),
    grid: Math.round(Math.sqrt(axis(entries, 'dpt.embeddings.position_embeddings', 3, 1, what) - 1)),
    neck: factors.map((_, i) => axis(entries, `neck.convs.${i}.weight`, 4, 1, what)),
    fusion: axis(entries, 'neck.convs.0.weight', 4, 0, what),
  };
  return {
    kind: 'dpt',
    title: 'MiDaS (DPT)',
    weights,
    trace: ([height, imageWidth]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, imageWidth] } }, (p, given) =>
        dptNet(p, need(given, 'x'), config),
      ),
  };
}

export const dpt: AnnotatorArchitecture = {
  kind: 'dpt',
  title: 'MiDaS (DPT)',
  file: 'model.safetensors',
  matches: (entries) =>
    entries.has('dpt.embeddings.patch_embeddings.projection.weight') && entries.has('neck.convs.0.weight'),
  read: readDpt,
};
