/**
 * RestoreFormer (Wang et al. 2022, "RestoreFormer: High-Quality Blind Face Restoration from Undegraded Key-Value Pairs", arXiv 2201.06374):
 * `RestoreFormer.pth`. A vector-quantised autoencoder whose decoder asks with the features of the blurred face.
 */

import { add, attention, silu } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { autoencoderDownsample, upsample } from '../../nn/resample.ts';
import { toImage, toTokens } from '../../nn/tokens.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { type BlockConfig, norm, resnetBlock } from '../autoencoder-layers.ts';
import { quantize } from '../autoencoder-vq.ts';
import { faceRestorer, type FaceRestorerNetwork } from './face-network.ts';

interface RestoreFormerConfig {
  /** Channels of each size, the largest first. */
  readonly levels: readonly number[];
  readonly blocks: number;
  readonly attends: boolean;
  readonly heads: number;
  readonly codes: number;
  readonly codeWidth: number;
  readonly features: number;
  readonly side: number;
}

/** What the decoder looks at: the lowest level before its attention, and after it. */
interface Blurred {
  readonly before: Sym;
  readonly after: Sym;
  readonly out: Sym;
}

const title = 'RestoreFormer';
const block: BlockConfig = { norm_num_groups: 32, dropout: 0, attn_type: 'vanilla' };
/** The published network attends at this side alone. */
const attendedSide = 16;

const residual = (p: Params, x: Sym, out: number): Sym => resnetBlock(p, x, out, block);

/** `MultiHeadAttnBlock`: the queries come from `asking`, if given. */
function attend(p: Params, x: Sym, heads: number, asking?: Sym): Sym {
  return p.module(() => {
    const normed = norm(p.at('norm1'), x, block);
    const from = asking ? norm(p.at('norm2'), asking, block) : normed;
    const channels = fixedSize(x, 1);
    const of = (name: string, given: Sym): Sym => toTokens(convLayer(p.at(name), given, channels, { kernel: 1 }));
    const made = toImage(attention(of('q', from), of('k', normed), of('v', normed), { heads }), x);
    return add(x, convLayer(p.at('proj_out'), made, channels, { kernel: 1 }));
  });
}

const last = (p: Params, x: Sym, out: number): Sym =>
  convLayer(p.at('conv_out'), silu(norm(p.at('norm_out'), x, block)), out, { kernel: 3 });

function encode(p: Params, x: Sym, { levels, blocks, attends, heads, features }: RestoreFormerConfig): Blurred {
  let h = convLayer(p.at('conv_in'), x, levels[0] as number, { kernel: 3 });
  for (const [level, channels] of levels.entries()) {
    const scope = p.at('down').at(level);
    const isLast = level === levels.length - 1;
    for (let i = 0; i < blocks; i++) {
      h = residual(scope.at('block').at(i), h, channels);
      if (isLast && attends) h = attend(scope.at('attn').at(i), h, heads);
    }
    if (!isLast) h = autoencoderDownsample(scope.at('downsample'), h, true);
  }
  const middle = p.at('mid');
  const channels = fixedSize(h, 1);
  const before = residual(middle.at('block_1'), h, channels);
  const after = residual(middle.at('block_2'), attend(middle.at('attn_1'), before, heads), channels);
  return { before, after, out: last(p, after, features) };
}

function decode(p: Params, z: Sym, blurred: Blurred, { levels, blocks, attends, heads }: RestoreFormerConfig): Sym {
  const widest = levels.at(-1) as number;
  const middle = p.at('mid');
  let h = residual(middle.at('block_1'), convLayer(p.at('conv_in'), z, widest, { kernel: 3 }), widest);
  h = residual(middle.at('block_2'), attend(middle.at('attn_1'), h, heads, blurred.after), widest);
  for (const [level, channels] of [...levels.entries()].toReversed()) {
    const scope = p.at('up').at(level);
    for (let i = 0; i <= blocks; i++) {
      h = residual(scope.at('block').at(i), h, channels);
      if (level === levels.length - 1 && attends) h = attend(scope.at('attn').at(i), h, heads, blurred.before);
    }
    if (level > 0) h = upsample(scope.at('upsample'), h, true);
  }
  return last(p, h, 3);
}

function restoreFormer(p: Params, x: Sym, config: RestoreFormerConfig): Sym {
  const { codes, codeWidth, features } = config;
  const blurred = encode(p.at('encoder'), x, config);
  const code = convLayer(p.at('quant_conv'), blurred.out, codeWidth, { kernel: 1 });
  const { quant } = quantize(p, { n_embed: codes, embed_dim: codeWidth, sane_index_shape: false }, code);
  return decode(p.at('decoder'), convLayer(p.at('post_quant_conv'), quant, features, { kernel: 1 }), blurred, config);
}

export const isRestoreFormer = (entries: Entries): boolean =>
  entries.has('quantize.embedding.weight') &&
  entries.has('encoder.mid.attn_1.norm1.weight') &&
  entries.has('decoder.mid.attn_1.norm2.weight');

/** Sizes from shapes. `heads` is not in them: the published network has 8. */
export function readRestoreFormer(
  weights: WeightSource,
  { heads = 8 }: { readonly heads?: number } = {},
): FaceRestorerNetwork {
  const { entries } = weights;
  const count = countOf(entries, 'encoder.down.', title);
  const config: RestoreFormerConfig = {
    levels: Array.from({ length: count }, (_, level) =>
      axis(entries, `encoder.down.${level}.block.0.conv2.weight`, 4, 0, title),
    ),
    blocks: countOf(entries, 'encoder.down.0.block.', title),
    attends: entries.has(`encoder.down.${count - 1}.attn.0.q.weight`),
    heads,
    codes: axis(entries, 'quantize.embedding.weight', 2, 0, title),
    codeWidth: axis(entries, 'quantize.embedding.weight', 2, 1, title),
    features: axis(entries, 'quant_conv.weight', 4, 1, title),
    side: attendedSide * 2 ** (count - 1),
  };
  return faceRestorer({ title, weights, side: config.side }, (p, x) => restoreFormer(p, x, config));
}
