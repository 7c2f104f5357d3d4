/**
 * DAT (Chen et al. 2023, dual aggregation transformer): blocks that attend in windows and blocks that attend over channels, in turn, each
 * mixed with a depth-wise convolution.
 */

import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { add, constant, sub } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { convLayer } from '../../nn/conv.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { toImage, toTokens } from '../../nn/tokens.ts';
import { float32 } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import { purposeOf, type ReadOptions, type UpscalerArchitecture, type UpscalerNetwork } from './architecture.ts';
import { type BlockShape, channelAttention, gatedFeedForward, spatialAttention } from './dat-blocks.ts';
import { meanColour, readUpsampler, reconstruct, residualConv, scaleOf, type Upsampler } from './reconstruction.ts';

interface DatConfig {
  readonly channels: number;
  readonly width: number;
  readonly depths: readonly number[];
  readonly heads: readonly number[];
  readonly split: readonly [number, number];
  readonly hidden: number;
  readonly qkvBias: boolean;
  readonly residual: '1conv' | '3conv';
  readonly upsampler: Upsampler;
}

/** In even groups the spatial blocks 2, 6, 10 … shift their windows, in odd groups 0, 4, 8 …. */
const isShifted = (group: number, block: number): boolean =>
  group % 2 === 0 ? block > 0 && (block - 2) % 4 === 0 : block % 4 === 0;

function features(p: Params, config: DatConfig, image: Sym): Sym {
  let x = layerNormLayer(p.at('before_RG.1'), toTokens(image));
  for (const [group, depth] of config.depths.entries()) {
    const layer = p.at('layers').at(group);
    let h = x;
    for (let i = 0; i < depth; i++) {
      const block = layer.at('blocks').at(i);
      const shape: BlockShape = {
        image,
        heads: config.heads[group] ?? 1,
        split: config.split,
        qkvBias: config.qkvBias,
        shifted: isShifted(group, i),
      };
      const attend = i % 2 === 0 ? spatialAttention : channelAttention;
      h = add(h, attend(block.at('attn'), layerNormLayer(block.at('norm1'), h), shape));
      h = add(h, gatedFeedForward(block.at('ffn'), layerNormLayer(block.at('norm2'), h), image, config.hidden));
    }
    x = add(x, toTokens(residualConv(layer.at('conv'), toImage(h, image), config.residual)));
  }
  return toImage(layerNormLayer(p.at('norm'), x), image);
}

function dat(p: Params, config: DatConfig, picture: Sym): Sym {
  const { channels, width, residual, upsampler } = config;
  const mean = constant(picture, float32([1, channels, 1, 1], meanColour(channels)));
  const first = convLayer(p.at('conv_first'), sub(picture, mean), width, { kernel: 3 });
  const deep = add(residualConv(p.at('conv_after_body'), features(p, config, first), residual), first);
  return add(reconstruct(p, deep, upsampler, channels), mean);
}

function headsOf(entries: Entries, group: number, depth: number): number {
  return depth >= 2
    ? axis(entries, `layers.${group}.blocks.1.attn.temperature`, 3, 0, 'DAT')
    : 2 * axis(entries, `layers.${group}.blocks.0.attn.attns.0.pos.pos3.2.weight`, 2, 0, 'DAT');
}

/**
 * Height and width of the windows. The file holds the pair only as the last row of `rpe_biases`; the shapes tell it too: the first
 * branch's table has (2h - 1)(2w - 1) rows and its index h·w, so that h + w and h·w are known, and h ≤ w in the published networks.
 */
function splitOf(entries: Entries): readonly [number, number] {
  const rows = axis(entries, 'layers.0.blocks.0.attn.attns.0.rpe_biases', 2, 0, 'DAT');
  const area = axis(entries, 'layers.0.blocks.0.attn.attns.0.relative_position_index', 2, 0, 'DAT');
  const sum = (4 * area + 1 - rows) / 2;
  const difference = Math.sqrt(Math.max(0, sum ** 2 - 4 * area));
  return [Math.round((sum - difference) / 2), Math.round((sum + difference) / 2)];
}

function tagsOf(config: DatConfig, nominal: number): string[] {
  const { depths, split, upsampler, width, hidden, residual } = config;
  const size = depths.length < 4 ? 'light' : split.join() === '8,16' ? 'small' : 'medium';
  const filters = 'features' in upsampler ? upsampler.features : width;
  const ratio = hidden / width;
  const expansion = Number.isInteger(ratio) ? ratio.toFixed(1) : String(ratio);
  return [size, `s${nominal}|${split.join('x')}`, `${filters}nf`, `${width}dim`, `${expansion}ef`, residual];
}

function read(source: WeightSource, { trainingSize }: ReadOptions = {}): UpscalerNetwork {
  const { entries } = source;
  const what = 'DAT';
  const channels = axis(entries, 'conv_first.weight', 4, 1, what);
  const depths = Array.from({ length: countOf(entries, 'layers.', what) }, (_, i) =>
    countOf(entries, `layers.${i}.blocks.`, what),
  );
  const config: DatConfig = {
    channels,
    width: axis(entries, 'conv_first.weight', 4, 0, what),
    depths,
    heads: depths.map((depth, group) => headsOf(entries, group, depth)),
    split: splitOf(entries),
    hidden: axis(entries, 'layers.0.blocks.0.ffn.fc1.weight', 2, 0, what),
    qkvBias: entries.has('layers.0.blocks.0.attn.qkv.bias'),
    residual: entries.has('conv_after_body.weight') ? '1conv' : '3conv',
    upsampler: readUpsampler(entries, channels, what),
  };
  const scale = scaleOf(config.upsampler);
  const [windows = 0, pixels = 0] = entries.get('layers.0.blocks.2.attn.attn_mask_0')?.shape ?? [];
  return {
    architecture: what,
    scale,
    channels,
    purpose: purposeOf(scale),
    tags: tagsOf(config, Math.floor(Math.sqrt(windows * pixels)) || (trainingSize ?? 64)),
    picture: { minimum: 16, multiple: 1 },
    multiple: 1,
    fixedSize: true,
    weights: source,
    trace: (size) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, channels, ...size] } }, (p, given) => ({
        out: dat(p, config, need(given, 'x')),
      })),
  };
}

export const datArchitecture: UpscalerArchitecture = {
  name: 'DAT',
  matches: (entries) =>
    entries.has('before_RG.1.weight') &&
    entries.has('layers.0.blocks.0.attn.attns.0.rpe_biases') &&
    entries.has('layers.0.blocks.0.ffn.sg.norm.weight'),
  read,
};
