/**
 * Depth Anything (Yang et al. 2024, arXiv 2401.10891) and its second version (arXiv 2406.09414): DINOv2 (Oquab et al. 2023, arXiv 2304.07193)
 * with DPT's head. Both have the same tensors: the first version reads the last four blocks, the second one four spread over all.
 */

import { add, attention, chunk, concat, gelu, mul, relu, reshape, slice, transpose } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, shapeOf } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { bicubicFactorMatrix, bilinearAlignedMatrix, resizeBy } from '../../nn/resize-matrix.ts';
import { toTokens } from '../../nn/tokens.ts';
import type { WeightEntry, WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture, AnnotatorNetwork } from './annotator.ts';
import { growingConv } from './layers.ts';

interface DepthAnythingConfig {
  readonly width: number;
  readonly heads: number;
  readonly blocks: number;
  /** Blocks whose output the head reads, from 0. */
  readonly read: readonly number[];
  readonly patch: number;
  /** Side of the grid of patches in training. */
  readonly grid: number;
  /** Channels of the four levels, and of the fusion. */
  readonly levels: readonly number[];
  readonly fusion: number;
}

/** Added to the sides of the grid when positions are stretched: the original's guard against rounding, part of its numbers. */
const offset = 0.1;

function positions(p: Params, { width, grid }: DepthAnythingConfig, rows: number, columns: number): Sym {
  const all = p.get('pos_embed', [1, 1 + grid * grid, width]);
  if (rows === grid && columns === grid) return all;
  const image = reshape(transpose(slice(all, 1, 1, 1 + grid * grid), [0, 2, 1]), [1, width, grid, grid]);
  const along = (to: number) => bicubicFactorMatrix(grid, to, (to + offset) / grid);
  return concat([slice(all, 1, 0, 1), toTokens(resizeBy(image, along(rows), along(columns)))], 1);
}

/** A block of DINOv2: attention and feed-forward, each scaled by its own factors for every channel. */
function block(p: Params, x: Sym, { width, heads }: DepthAnythingConfig): Sym {
  const scaled = (name: string, value: Sym): Sym => mul(value, p.at(name).get('gamma', [width]));
  const normed = layerNormLayer(p.at('norm1'), x, 1e-6);
  const [q, k, v] = chunk(linearLayer(p.at('attn.qkv'), normed, 3 * width), 2, 3) as [Sym, Sym, Sym];
  const attended = linearLayer(p.at('attn.proj'), attention(q, k, v, { heads }), width);
  const h = add(x, scaled('ls1', attended));
  const wide = gelu(linearLayer(p.at('mlp.fc1'), layerNormLayer(p.at('norm2'), h, 1e-6), 4 * width));
  return add(h, scaled('ls2', linearLayer(p.at('mlp.fc2'), wide, width)));
}

/** The normed patches [1, patches, width] after the blocks that are read. */
function encoder(p: Params, x: Sym, config: DepthAnythingConfig): Sym[] {
  const { width, patch, blocks, read } = config;
  const image = convLayer(p.at('patch_embed.proj'), x, width, { kernel: patch, stride: patch, padding: 0 });
  const tokens = concat([p.get('cls_token', [1, 1, width]), toTokens(image)], 1);
  const [rows, columns] = [fixedSize(image, 2), fixedSize(image, 3)];
  let h = add(tokens, positions(p, config, rows, columns));
  const outputs: Sym[] = [];
  for (let i = 0; i < blocks; i++) {
    h = block(p.at('blocks').at(i), h, config);
    if (read.includes(i)) outputs.push(slice(layerNormLayer(p.at('norm'), h, 1e-6), 1, 1, 1 + rows * columns));
  }
  return outputs;
}

function level(p: Params, patches: Sym, index: number, config: DepthAnythingConfig, sides: readonly number[]): Sym {
  const [rows = 1, columns = 1] = sides;
  const image = reshape(transpose(patches, [0, 2, 1]), [1, config.width, rows, columns]);
  const channels = config.levels[index] as number;
  const projected = convLayer(p.at('projects').at(index), image, channels, { kernel: 1 });
  const resize = p.at('resize_layers').at(index);
  const sized = [
    () => growingConv(resize, projected, 4),
    () => growingConv(resize, projected, 2),
    () => projected,
    () => convLayer(resize, projected, channels, { kernel: 3, stride: 2 }),
  ] as const;
  const made = (sized[index] as () => Sym)();
  return convLayer(p.at('scratch').at(`layer${index + 1}_rn`), made, config.fusion, { kernel: 3, bias: false });
}

function residual(p: Params, x: Sym): Sym {
  const channels = fixedSize(x, 1);
  const h = convLayer(p.at('conv1'), relu(x), channels, { kernel: 3 });
  return add(convLayer(p.at('conv2'), relu(h), channels, { kernel: 3 }), x);
}

function resized(x: Sym, height: number, width: number): Sym {
  return resizeBy(x, bilinearAlignedMatrix(fixedSize(x, 2), height), bilinearAlignedMatrix(fixedSize(x, 3), width));
}

/** The levels joined from the deepest, at twice the size of the first. */
function fuse(p: Params, levels: readonly Sym[]): Sym {
  let fused: Sym | undefined;
  for (let i = levels.length - 1; i >= 0; i--) {
    const own = levels[i] as Sym;
    const next = levels[i - 1];
    const scope = p.at(`refinenet${i + 1}`);
    const sum = fused ? add(fused, residual(scope.at('resConfUnit1'), own)) : own;
    const [height, width] = next
      ? [fixedSize(next, 2), fixedSize(next, 3)]
      : [2 * fixedSize(own, 2), 2 * fixedSize(own, 3)];
    const grown = resized(residual(scope.at('resConfUnit2'), sum), height, width);
    fused = convLayer(scope.at('out_conv'), grown, fixedSize(grown, 1), { kernel: 1 });
  }
  return fused as Sym;
}

/** x [1, 3, h, w], normalised as ImageNet's, sides multiples of the patch → `depth` [1, h, w]: near is large. */
function depthNet(p: Params, x: Sym, config: DepthAnythingConfig): Sym {
  const [height, width] = [fixedSize(x, 2), fixedSize(x, 3)];
  const sides = [height / config.patch, width / config.patch];
  const head = p.at('depth_head');
  const patches = encoder(p.at('pretrained'), x, config);
  const levels = patches.map((one, i) => level(head, one, i, config, sides));
  const scratch = head.at('scratch');
  const half = convLayer(scratch.at('output_conv1'), fuse(scratch, levels), config.fusion / 2, { kernel: 3 });
  const out = scratch.at('output_conv2');
  const fine = relu(convLayer(out.at(0), resized(half, height, width), 32, { kernel: 3 }));
  return reshape(relu(convLayer(out.at(2), fine, 1, { kernel: 1 })), [1, height, width]);
}

/** The last block of each quarter; of the large model's first quarter the one before it. */
const spread = (blocks: number): number[] =>
  blocks === 24 ? [4, 11, 17, 23] : [1, 2, 3, 4].map((quarter) => Math.round((blocks * quarter) / 4) - 1);

interface Version {
  readonly kind: string;
  readonly title: string;
  readonly file: string;
  readonly isNamed: (label: string) => boolean;
  readonly read: (blocks: number) => number[];
}

/** Sizes from shapes. `heads` is not in them: published networks have heads of 64. */
export function readDepthAnything(
  weights: WeightSource,
  { kind, title, read }: Version,
  options: { readonly heads?: number } = {},
): AnnotatorNetwork {
  const { entries } = weights;
  const [width = 1, , patch = 1] = shapeOf(entries, 'pretrained.patch_embed.proj.weight', 4, title);
  const blocks = countOf(entries, 'pretrained.blocks.', title);
  const config: DepthAnythingConfig = {
    width,
    patch,
    blocks,
    read: read(blocks),
    heads: options.heads ?? Math.max(1, width / 64),
    grid: Math.round(Math.sqrt(axis(entries, 'pretrained.pos_embed', 3, 1, title) - 1)),
    levels: [0, 1, 2, 3].map((i) => axis(entries, `depth_head.projects.${i}.weight`, 4, 0, title)),
    fusion: axis(entries, 'depth_head.scratch.output_conv1.weight', 4, 1, title),
  };
  return {
    kind,
    title,
    weights,
    trace: ([height, imageWidth]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, imageWidth] } }, (p, given) => ({
        depth: depthNet(p, need(given, 'x'), config),
      })),
  };
}

const isNetwork = (entries: ReadonlyMap<string, WeightEntry>): boolean =>
  entries.has('pretrained.blocks.0.mlp.fc1.weight') && entries.has('depth_head.scratch.refinenet4.out_conv.weight');

const isSecond = (label: string): boolean => /v2/i.test(label.split(/[\\/]/).at(-1) ?? '');

const architecture = (version: Version): AnnotatorArchitecture => ({
  kind: version.kind,
  title: version.title,
  file: version.file,
  matches: (entries, label) => isNetwork(entries) && version.isNamed(label),
  read: (source) => readDepthAnything(source, version),
});

export const depthAnythingVersions = [
  {
    kind: 'depth_anything',
    title: 'Depth Anything',
    file: 'depth_anything_vitl14.pth',
    isNamed: (label) => !isSecond(label),
    read: (blocks) => [4, 3, 2, 1].map((back) => blocks - back),
  },
  {
    kind: 'depth_anything_v2',
    title: 'Depth Anything V2',
    file: 'depth_anything_v2_vitl.safetensors',
    isNamed: isSecond,
    read: spread,
  },
] as const satisfies readonly Version[];

export const depthAnything = architecture(depthAnythingVersions[0]);
export const depthAnythingV2 = architecture(depthAnythingVersions[1]);
