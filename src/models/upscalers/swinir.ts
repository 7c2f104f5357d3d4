/** SwinIR (Liang et al. 2021): residual groups of Swin blocks, windows shifted in every second block. */

import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { add, attention, constant, div, gelu, mul, reshape, split, sub } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { pixelUnshuffle } from '../../nn/pixel-shuffle.ts';
import { toImage, toTokens } from '../../nn/tokens.ts';
import { fromWindows, pairBias, roll, shiftMask, toWindows, type WindowSize } from '../../nn/windows.ts';
import { float32 } from '../../tensor/tensor.ts';
import { withNames } from '../../weights/view.ts';
import { need, traceNetwork } from '../trace-network.ts';
import { type ImageSize, purposeOf, type UpscalerArchitecture } from './architecture.ts';
import { meanColour, readUpsampler, reconstruct, residualConv, scaleOf, type Upsampler } from './reconstruction.ts';

interface SwinIrConfig {
  readonly channels: number;
  readonly width: number;
  readonly depths: readonly number[];
  readonly heads: readonly number[];
  readonly window: number;
  readonly hidden: number;
  /** Windows are shifted by half of their side in odd blocks. */
  readonly shifted: boolean;
  /** The token embedding is normalised first. */
  readonly patchNorm: boolean;
  readonly residual: '1conv' | '3conv';
  readonly upsampler: Upsampler;
  readonly unshuffle: number;
  /** Factor on values in [0, 1]: 255 for the JPEG models, whose window is 7. */
  readonly range: number;
}

/** Bias of each pair of pixels of a window, [1, heads, n, n]. */
function positionBias(p: Params, window: WindowSize, heads: number): Sym {
  const table = p.get('relative_position_bias_table', [(2 * window[0] - 1) * (2 * window[1] - 1), heads]);
  return pairBias(table, window, heads);
}

interface SwinBlock {
  readonly size: ImageSize;
  readonly window: WindowSize;
  readonly heads: number;
  readonly shift: number;
  readonly hidden: number;
}

/** Tokens [1, h · w, c] → the same shape. */
function swinBlock(p: Params, x: Sym, { size, window, heads, shift, hidden }: SwinBlock): Sym {
  const width = fixedSize(x, 2);
  const image = reshape(layerNormLayer(p.at('norm1'), x), [1, ...size, width]);
  const windows = toWindows(roll(image, [-shift, -shift]), window);
  const attn = p.at('attn');
  const [q, k, v] = split(linearLayer(attn.at('qkv'), windows, 3 * width), 2, [width, width, width]) as [Sym, Sym, Sym];
  const bias = positionBias(attn, window, heads);
  const mask = shift === 0 ? bias : add(bias, constant(x, shiftMask(size, window, [shift, shift])));
  const attended = linearLayer(attn.at('proj'), attention(q, k, v, { heads, mask }), width);
  const back = roll(fromWindows(attended, window, size), [shift, shift]);
  const h = add(x, reshape(back, [1, size[0] * size[1], width]));
  const mlp = p.at('mlp');
  const inner = gelu(linearLayer(mlp.at('fc1'), layerNormLayer(p.at('norm2'), h), hidden));
  return add(h, linearLayer(mlp.at('fc2'), inner, width));
}

/** Image features [1, c, h, w] through all groups. */
function features(p: Params, config: SwinIrConfig, image: Sym): Sym {
  const size: ImageSize = [fixedSize(image, 2), fixedSize(image, 3)];
  const { window, depths, hidden, shifted, residual } = config;
  let x = toTokens(image);
  if (config.patchNorm) x = layerNormLayer(p.at('patch_embed.norm'), x);
  for (const [group, depth] of depths.entries()) {
    const layer = p.at('layers').at(group);
    const heads = config.heads[group] ?? 1;
    let h = x;
    for (let i = 0; i < depth; i++) {
      const shift = shifted && i % 2 === 1 ? Math.floor(window / 2) : 0;
      const block = layer.at('residual_group.blocks').at(i);
      h = swinBlock(block, h, { size, window: [window, window], heads, shift, hidden });
    }
    x = add(toTokens(residualConv(layer.at('conv'), toImage(h, image), residual)), x);
  }
  return toImage(layerNormLayer(p.at('norm'), x), image);
}

function swinIr(p: Params, config: SwinIrConfig, picture: Sym): Sym {
  const { channels, width, residual, upsampler, unshuffle, range } = config;
  const mean = constant(picture, float32([1, channels, 1, 1], meanColour(channels)));
  const x = mul(sub(picture, mean), range);
  const first = convLayer(p.at('conv_first'), pixelUnshuffle(x, unshuffle), width, { kernel: 3 });
  const deep = add(residualConv(p.at('conv_after_body'), features(p, config, first), residual), first);
  const made = reconstruct(p, deep, upsampler, channels);
  return add(div(upsampler.kind === 'none' ? add(x, made) : made, range), mean);
}

function readConfig(entries: Entries, unshuffle: number): SwinIrConfig {
  const what = 'SwinIR';
  const channels = axis(entries, 'conv_first.weight', 4, 1, what) / unshuffle ** 2;
  const groups = countOf(entries, 'layers.', what);
  const numbers = Array.from({ length: groups }, (_, i) => i);
  const window = Math.sqrt(axis(entries, 'layers.0.residual_group.blocks.0.attn.relative_position_index', 2, 0, what));
  return {
    channels,
    width: axis(entries, 'conv_first.weight', 4, 0, what),
    depths: numbers.map((i) => countOf(entries, `layers.${i}.residual_group.blocks.`, what)),
    heads: numbers.map((i) =>
      axis(entries, `layers.${i}.residual_group.blocks.0.attn.relative_position_bias_table`, 2, 1, what),
    ),
    window,
    hidden: axis(entries, 'layers.0.residual_group.blocks.0.mlp.fc1.weight', 2, 0, what),
    shifted: entries.has('layers.0.residual_group.blocks.1.attn_mask'),
    patchNorm: entries.has('patch_embed.norm.weight'),
    residual: entries.has('conv_after_body.weight') ? '1conv' : '3conv',
    upsampler: readUpsampler(entries, channels, what),
    unshuffle,
    range: window === 7 ? 255 : 1,
  };
}

export const swinIrArchitecture: UpscalerArchitecture = {
  name: 'SwinIR',
  matches: (entries) =>
    entries.has('layers.0.residual_group.blocks.0.norm1.weight') &&
    entries.has('layers.0.residual_group.blocks.0.attn.relative_position_index') &&
    (entries.has('conv_first.weight') || entries.has('conv_first.1.weight')),
  read(source) {
    const shuffled = source.entries.has('conv_first.1.weight');
    const weights = shuffled ? withNames(source, (name) => name.replace(/^conv_first\.1\./, 'conv_first.')) : source;
    const { entries } = weights;
    const input = axis(entries, 'conv_first.weight', 4, 1, 'SwinIR');
    const unshuffle = shuffled ? Math.round(Math.sqrt(input / 3)) : 1;
    const config = readConfig(entries, unshuffle);
    const scale = scaleOf(config.upsampler) / unshuffle;
    const nominal = Math.sqrt(entries.get('layers.0.residual_group.blocks.1.attn_mask')?.shape[0] ?? 0) * config.window;
    const size = config.depths.length <= 4 ? 'small' : config.depths.length < 9 ? 'medium' : 'large';
    const filters = 'features' in config.upsampler ? config.upsampler.features : 64;
    return {
      architecture: 'SwinIR',
      scale,
      channels: config.channels,
      purpose: purposeOf(scale),
      tags: [
        size,
        `s${nominal || 64}w${config.window}`,
        `${config.upsampler.kind === 'pixelshuffle' ? filters : 64}nf`,
        `${config.width}dim`,
        config.residual,
        `${unshuffle}unshuf`,
      ],
      picture: { minimum: 16, multiple: unshuffle ** 2 },
      multiple: config.window * unshuffle,
      fixedSize: true,
      weights,
      trace: (imageSize) =>
        traceNetwork({ x: { dtype: 'float32', shape: [1, config.channels, ...imageSize] } }, (p, given) => ({
          out: swinIr(p, config, need(given, 'x')),
        })),
    };
  },
};
