/**
 * CodeFormer (Zhou et al. 2022, "Towards Robust Blind Face Restoration with Codebook Lookup Transformer", arXiv 2206.11253): `codeformer.pth`.
 * A transformer predicts codes of a face from its blurred version; the decoder may look at the blurred one's features again.
 */

import {
  add,
  argmax,
  attention,
  concat,
  div,
  gather,
  gelu,
  leakyRelu,
  linear,
  mean,
  mul,
  reshape,
  silu,
  slice,
  sqrt,
  sub,
  transpose,
} from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { StableDiffusionError } from '../../errors.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { groupNormLayer, layerNormLayer } from '../../nn/norm.ts';
import { double } from '../../nn/resample.ts';
import { toImage, toTokens } from '../../nn/tokens.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { FaceRestorerNetwork } from './face-network.ts';

/** One of the numbered blocks of encoder and generator. */
interface Block {
  readonly kind: 'conv' | 'residual' | 'attention' | 'resample' | 'norm';
  /** Channels of its output. */
  readonly out: number;
}

interface CodeFormerConfig {
  readonly encoder: readonly Block[];
  readonly generator: readonly Block[];
  /** Sides of the images at which the decoder looks at the encoder's features. */
  readonly fused: ReadonlySet<number>;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly codes: number;
  readonly codeWidth: number;
  /** Side of the image of codes, and of the picture. */
  readonly codeSide: number;
  readonly side: number;
}

const title = 'CodeFormer';
const groups = 32;

const norm = (p: Params, x: Sym): Sym => groupNormLayer(p, x, { groups, epsilon: 1e-6 });

function residual(p: Params, x: Sym, out: number): Sym {
  return p.module(() => {
    const h = convLayer(p.at('conv1'), silu(norm(p.at('norm1'), x)), out, { kernel: 3 });
    const y = convLayer(p.at('conv2'), silu(norm(p.at('norm2'), h)), out, { kernel: 3 });
    return add(y, fixedSize(x, 1) === out ? x : convLayer(p.at('conv_out'), x, out, { kernel: 1 }));
  });
}

function pixelAttention(p: Params, x: Sym): Sym {
  return p.module(() => {
    const channels = fixedSize(x, 1);
    const normed = norm(p.at('norm'), x);
    const of = (name: string): Sym => toTokens(convLayer(p.at(name), normed, channels, { kernel: 1 }));
    const attended = toImage(attention(of('q'), of('k'), of('v'), { heads: 1 }), x);
    return add(x, convLayer(p.at('proj_out'), attended, channels, { kernel: 1 }));
  });
}

function runBlock(p: Params, x: Sym, { kind, out }: Block, halves: boolean): Sym {
  switch (kind) {
    case 'conv':
      return convLayer(p, x, out, { kernel: 3 });
    case 'residual':
      return residual(p, x, out);
    case 'attention':
      return pixelAttention(p, x);
    case 'norm':
      return norm(p, x);
    case 'resample':
      return halves
        ? convLayer(p.at('conv'), x, out, { kernel: 3, stride: 2, padding: [0, 0, 1, 1] })
        : convLayer(p.at('conv'), double(x), out, { kernel: 3 });
  }
}

/** `TransformerSALayer`: the positions are added to queries and keys alone. */
function transformerLayer(p: Params, x: Sym, positions: Sym, { width, heads }: CodeFormerConfig): Sym {
  return p.module(() => {
    const normed = layerNormLayer(p.at('norm1'), x);
    const asking = add(normed, positions);
    const own = p.at('self_attn');
    const weight = own.get('in_proj_weight', [3 * width, width]);
    const bias = own.get('in_proj_bias', [3 * width]);
    const [q, k, v] = [asking, asking, normed].map((tokens, i) => {
      const rows = slice(weight, 0, i * width, (i + 1) * width);
      return add(linear(tokens, rows), slice(bias, 0, i * width, (i + 1) * width));
    }) as [Sym, Sym, Sym];
    const h = add(x, linearLayer(own.at('out_proj'), attention(q, k, v, { heads }), width));
    const wide = gelu(linearLayer(p.at('linear1'), layerNormLayer(p.at('norm2'), h), 2 * width));
    return add(h, linearLayer(p.at('linear2'), wide, width));
  });
}

/** Mean and deviation of [1, c, h, w] over the image, the variance unbiased. */
function statistics(x: Sym): { readonly centre: Sym; readonly deviation: Sym } {
  const count = fixedSize(x, 2) * fixedSize(x, 3);
  const centre = mean(x, [2, 3], { keepDims: true });
  const off = sub(x, centre);
  const variance = mul(mean(mul(off, off), [2, 3], { keepDims: true }), count / (count - 1));
  return { centre, deviation: sqrt(add(variance, 1e-5)) };
}

/** The codes' features with the mean and deviation of the blurred face's (adaptive instance normalisation). */
function matched(codes: Sym, blurred: Sym): Sym {
  const [own, other] = [statistics(codes), statistics(blurred)];
  return add(mul(div(sub(codes, own.centre), own.deviation), other.deviation), other.centre);
}

/** `Fuse_sft_block`: scale and shift of the decoder's features by the encoder's, as strongly as `w` says. */
function fuse(p: Params, encoded: Sym, x: Sym, w: Sym): Sym {
  return p.module(() => {
    const channels = fixedSize(x, 1);
    const both = residual(p.at('encode_enc'), concat([encoded, x], 1), channels);
    const of = (name: string): Sym => {
      const scope = p.at(name);
      const h = leakyRelu(convLayer(scope.at(0), both, channels, { kernel: 3 }), 0.2);
      return convLayer(scope.at(2), h, channels, { kernel: 3 });
    };
    return add(x, mul(reshape(w, [1, 1, 1, 1]), add(mul(x, of('scale')), of('shift'))));
  });
}

/** The codes that the transformer predicts for the encoder's output, as an image of their features. */
function predictedCodes(p: Params, encoded: Sym, config: CodeFormerConfig): Sym {
  const { width, layers, codes, codeWidth, codeSide } = config;
  const count = codeSide * codeSide;
  const positions = reshape(p.get('position_emb', [count, width]), [1, count, width]);
  let h = linearLayer(p.at('feat_emb'), toTokens(encoded), width);
  for (let i = 0; i < layers; i++) h = transformerLayer(p.at('ft_layers').at(i), h, positions, config);
  const head = p.at('idx_pred_layer');
  const logits = linearLayer(head.at(1), layerNormLayer(head.at(0), h), codes, { bias: false });
  const chosen = reshape(argmax(logits, 2), [count]);
  const features = gather(p.at('quantize.embedding').get('weight', [codes, codeWidth]), chosen);
  return transpose(reshape(features, [1, codeSide, codeSide, codeWidth]), [0, 3, 1, 2]);
}

function codeFormer(p: Params, x: Sym, w: Sym, config: CodeFormerConfig): Sym {
  const { encoder, generator, fused } = config;
  const features = new Map<number, Sym>();
  let h = x;
  for (const [i, block] of encoder.entries()) {
    // The last features of each size.
    if (block.kind === 'resample') features.set(fixedSize(h, 2), h);
    h = runBlock(p.at('encoder.blocks').at(i), h, block, true);
  }
  h = matched(predictedCodes(p, h, config), h);
  let afterResample = false;
  for (const [i, block] of generator.entries()) {
    h = runBlock(p.at('generator.blocks').at(i), h, block, false);
    const side = fixedSize(h, 2);
    const encoded = features.get(side);
    if (afterResample && encoded && fused.has(side)) h = fuse(p.at('fuse_convs_dict').at(String(side)), encoded, h, w);
    afterResample = block.kind === 'resample';
  }
  return h;
}

/** The numbered blocks of a part, from the shapes of their parameters. */
function blocksOf(entries: Entries, part: string): Block[] {
  const count = countOf(entries, `${part}.blocks.`, title);
  let out = 0;
  return Array.from({ length: count }, (_, i): Block => {
    const shape = (name: string): readonly number[] | undefined => entries.get(`${part}.blocks.${i}.${name}`)?.shape;
    const kinds: readonly (readonly [Block['kind'], readonly number[] | undefined])[] = [
      ['residual', shape('conv1.weight')],
      ['attention', shape('q.weight')],
      ['resample', shape('conv.weight')],
      ['conv', shape('weight')?.length === 4 ? shape('weight') : undefined],
      ['norm', shape('weight')],
    ];
    const found = kinds.find(([, sizes]) => sizes !== undefined);
    if (!found) throw new StableDiffusionError('model-unknown', `${part}.blocks.${i} is no block of ${title}.`);
    out = found[1]?.[0] ?? out;
    return { kind: found[0], out };
  });
}

export const isCodeFormer = (entries: Entries): boolean =>
  entries.has('position_emb') &&
  entries.has('fuse_convs_dict.32.scale.0.weight') &&
  entries.has('idx_pred_layer.1.weight');

/** Sizes from shapes. `heads` is not in them: the published network has 8. Throws `model-unknown` for other blocks. */
export function readCodeFormer(
  weights: WeightSource,
  { heads = 8 }: { readonly heads?: number } = {},
): FaceRestorerNetwork {
  const { entries } = weights;
  const encoder = blocksOf(entries, 'encoder');
  const codeSide = Math.round(Math.sqrt(axis(entries, 'position_emb', 2, 0, title)));
  const fused = Array.from(entries.keys()).flatMap((name) => {
    const [, side] = /^fuse_convs_dict\.(\d+)\.scale\.0\.weight$/.exec(name) ?? [];
    return side === undefined ? [] : [Number(side)];
  });
  const config: CodeFormerConfig = {
    encoder,
    generator: blocksOf(entries, 'generator'),
    fused: new Set(fused),
    width: axis(entries, 'position_emb', 2, 1, title),
    layers: countOf(entries, 'ft_layers.', title),
    heads,
    codes: axis(entries, 'quantize.embedding.weight', 2, 0, title),
    codeWidth: axis(entries, 'quantize.embedding.weight', 2, 1, title),
    codeSide,
    side: codeSide * 2 ** encoder.filter(({ kind }) => kind === 'resample').length,
  };
  const { side } = config;
  return {
    kind: 'restorer',
    title,
    weights,
    side,
    takesWeight: true,
    trace: () =>
      traceNetwork(
        { x: { dtype: 'float32', shape: [1, 3, side, side] }, w: { dtype: 'float32', shape: [1] } },
        (p, given) => ({ out: codeFormer(p, need(given, 'x'), need(given, 'w'), config) }),
      ),
  };
}
