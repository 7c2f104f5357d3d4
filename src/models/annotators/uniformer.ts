/**
 * UniFormer (Li et al. 2022, arXiv 2201.09450) under UPerNet's head (Xiao et al. 2018, arXiv 1807.10221): what each part of a picture shows, in
 * the 150 classes of ADE20K. `upernet_global_small.pth` of ControlNet's annotators.
 */

import { add, attention, chunk, concat, conv2d, gelu, relu } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { areaMatrix, bilinearMatrix, resizeBy } from '../../nn/resize-matrix.ts';
import { toImage, toTokens } from '../../nn/tokens.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { norm } from '../faces/fixed-norm.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture, AnnotatorNetwork } from './annotator.ts';

interface UniformerConfig {
  /** Channels and blocks of the four stages; the first two gather by convolutions, the others by attention. */
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  /** Channels of the head. */
  readonly channels: number;
  readonly classes: number;
}

const title = 'UniFormer with UPerNet';
const headWidth = 64;
const epsilon = 1e-6;
/** Places along a side of the pooled pictures. */
const pools = [1, 2, 3, 6];

/** A convolution of each channel alone. */
function depthwise(p: Params, x: Sym, kernel: number): Sym {
  const channels = fixedSize(x, 1);
  return p.module(() =>
    conv2d(x, p.get('weight', [channels, 1, kernel, kernel]), p.get('bias', [channels]), {
      padding: kernel >> 1,
      groups: channels,
    }),
  );
}

/** `LayerNorm` over the channels of an image. */
const imageNorm = (p: Params, x: Sym, eps: number): Sym => toImage(layerNormLayer(p, toTokens(x), eps), x);

/** `CBlock`. */
function convBlock(p: Params, x: Sym): Sym {
  const width = fixedSize(x, 1);
  const point = (name: string, input: Sym, out: number): Sym => convLayer(p.at(name), input, out, { kernel: 1 });
  return p.module(() => {
    const placed = add(x, depthwise(p.at('pos_embed'), x, 3));
    const near = depthwise(p.at('attn'), point('conv1', norm(p.at('norm1'), placed), width), 5);
    const seen = add(placed, point('conv2', near, width));
    const wide = gelu(point('mlp.fc1', norm(p.at('norm2'), seen), 4 * width));
    return add(seen, point('mlp.fc2', wide, width));
  });
}

/** `SABlock`. */
function attentionBlock(p: Params, x: Sym): Sym {
  const width = fixedSize(x, 1);
  return p.module(() => {
    const tokens = toTokens(add(x, depthwise(p.at('pos_embed'), x, 3)));
    const joined = linearLayer(p.at('attn.qkv'), layerNormLayer(p.at('norm1'), tokens, epsilon), 3 * width);
    const [q, k, v] = chunk(joined, 2, 3) as [Sym, Sym, Sym];
    const seen = add(
      tokens,
      linearLayer(p.at('attn.proj'), attention(q, k, v, { heads: Math.floor(width / headWidth) }), width),
    );
    const wide = gelu(linearLayer(p.at('mlp.fc1'), layerNormLayer(p.at('norm2'), seen, epsilon), 4 * width));
    return toImage(add(seen, linearLayer(p.at('mlp.fc2'), wide, width)), x);
  });
}

/** The normed output of each stage: a quarter of the sides, an eighth, and so on. */
function backbone(p: Params, x: Sym, { widths, depths }: UniformerConfig): Sym[] {
  let h = x;
  return widths.map((width, stage) => {
    const patch = p.at(`patch_embed${stage + 1}`);
    const kernel = stage === 0 ? 4 : 2;
    h = imageNorm(
      patch.at('norm'),
      convLayer(patch.at('proj'), h, width, { kernel, stride: kernel, padding: 0 }),
      1e-5,
    );
    const blocks = p.at(`blocks${stage + 1}`);
    for (let i = 0; i < (depths[stage] ?? 0); i++) h = (stage < 2 ? convBlock : attentionBlock)(blocks.at(i), h);
    return imageNorm(p.at(`norm${stage + 1}`), h, epsilon);
  });
}

/** `ConvModule`: a convolution, batch norm and ReLU. */
const convModule = (p: Params, x: Sym, out: number, kernel: number): Sym =>
  relu(norm(p.at('bn'), convLayer(p.at('conv'), x, out, { kernel, bias: false })));

function resized(x: Sym, like: Sym, matrix: (from: number, to: number) => ReturnType<typeof bilinearMatrix>): Sym {
  return resizeBy(x, matrix(fixedSize(x, 2), fixedSize(like, 2)), matrix(fixedSize(x, 3), fixedSize(like, 3)));
}

/** `UPerHead`: the coarsest features pooled at several sizes, then finer ones added from level to level. */
function upperHead(p: Params, features: readonly Sym[], { channels, classes }: UniformerConfig): Sym {
  const coarsest = features.at(-1) as Sym;
  const pooled = pools.map((side, i) => {
    const small = resizeBy(
      coarsest,
      areaMatrix(fixedSize(coarsest, 2), side),
      areaMatrix(fixedSize(coarsest, 3), side),
    );
    return resized(convModule(p.at('psp_modules').at(i).at(1), small, channels, 1), coarsest, bilinearMatrix);
  });
  const levels = [
    ...features.slice(0, -1).map((feature, i) => convModule(p.at('lateral_convs').at(i), feature, channels, 1)),
    convModule(p.at('bottleneck'), concat([coarsest, ...pooled], 1), channels, 3),
  ];
  for (let i = levels.length - 1; i > 0; i--) {
    const finer = levels[i - 1] as Sym;
    levels[i - 1] = add(finer, resized(levels[i] as Sym, finer, bilinearMatrix));
  }
  const [finest] = levels as [Sym];
  const sized = levels.map((level, i) => {
    const made = i < levels.length - 1 ? convModule(p.at('fpn_convs').at(i), level, channels, 3) : level;
    return i === 0 ? made : resized(made, finest, bilinearMatrix);
  });
  return convLayer(p.at('conv_seg'), convModule(p.at('fpn_bottleneck'), concat(sized, 1), channels, 3), classes, {
    kernel: 1,
  });
}

function read(weights: WeightSource): AnnotatorNetwork {
  const { entries } = weights;
  const stages = [1, 2, 3, 4];
  const config: UniformerConfig = {
    widths: stages.map((stage) => axis(entries, `backbone.patch_embed${stage}.proj.weight`, 4, 0, title)),
    depths: stages.map((stage) => countOf(entries, `backbone.blocks${stage}.`, title)),
    channels: axis(entries, 'decode_head.conv_seg.weight', 4, 1, title),
    classes: axis(entries, 'decode_head.conv_seg.weight', 4, 0, title),
  };
  return {
    kind: 'uniformer',
    title,
    weights,
    trace: ([height, width]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) => ({
        classes: upperHead(p.at('decode_head'), backbone(p.at('backbone'), need(given, 'x'), config), config),
      })),
  };
}

const matches = (entries: Entries): boolean =>
  entries.has('backbone.patch_embed1.proj.weight') && entries.has('decode_head.psp_modules.0.1.conv.weight');

/** x [1, 3, h, w], normalised → `classes` [1, 150, h / 4, w / 4], the largest the place's. */
export const uniformer: AnnotatorArchitecture = {
  kind: 'uniformer',
  title,
  file: 'upernet_global_small.pth',
  matches,
  read,
};
