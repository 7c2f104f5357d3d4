/**
 * SCUNet (Zhang et al. 2022), the denoiser that A1111 calls ScuNET: a U-Net whose blocks treat half of the channels with convolutions and
 * half with attention in windows of 8 x 8.
 */

import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import {
  add,
  attention,
  concat,
  constant,
  convTranspose2d,
  gelu,
  relu,
  reshape,
  split,
  transpose,
} from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { linearLayer } from '../../nn/linear.ts';
import { layerNormLayer } from '../../nn/norm.ts';
import { fromWindows, pairBias, roll, shiftMask, toWindows, type WindowSize } from '../../nn/windows.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { UpscalerArchitecture } from './architecture.ts';

const side = 8;
const window: WindowSize = [side, side];
const headWidth = 32;
const stages = ['m_down1', 'm_down2', 'm_down3', 'm_body', 'm_up3', 'm_up2', 'm_up1'] as const;

/** Training size of the published networks. */
const publishedSize = 256;

/** The learned bias [heads, 15, 15] of each pair of pixels of a window, [1, heads, 64, 64]. */
function positionBias(p: Params, heads: number): Sym {
  const across = 2 * side - 1;
  const table = transpose(
    reshape(p.get('relative_position_params', [heads, across, across]), [heads, across ** 2]),
    [1, 0],
  );
  return pairBias(table, window, heads);
}

/** x [1, h, w, c] → the same shape. */
function windowAttention(p: Params, x: Sym, isShifted: boolean): Sym {
  const [, h, w, c] = [0, 1, 2, 3].map((axis) => fixedSize(x, axis)) as [number, number, number, number];
  const shift = isShifted ? side / 2 : 0;
  const windows = toWindows(roll(x, [-shift, -shift]), window);
  const [q, k, v] = split(linearLayer(p.at('embedding_layer'), windows, 3 * c), 2, [c, c, c]) as [Sym, Sym, Sym];
  const bias = positionBias(p, c / headWidth);
  const blocked = constant(x, shiftMask([h, w], window, [shift, shift], -1e30));
  const mask = isShifted ? add(bias, blocked) : bias;
  const attended = linearLayer(p.at('linear'), attention(q, k, v, { heads: c / headWidth, mask }), c);
  return roll(fromWindows(attended, window, [h, w]), [shift, shift]);
}

function transformer(p: Params, x: Sym, isShifted: boolean): Sym {
  const c = fixedSize(x, 3);
  const h = add(x, windowAttention(p.at('msa'), layerNormLayer(p.at('ln1'), x), isShifted));
  const inner = gelu(linearLayer(p.at('mlp.0'), layerNormLayer(p.at('ln2'), h), 4 * c));
  return add(h, linearLayer(p.at('mlp.2'), inner, c));
}

/** `ConvTransBlock`: x [1, c, h, w] → the same shape. */
function block(p: Params, x: Sym, isShifted: boolean): Sym {
  const c = fixedSize(x, 1);
  const [left, right] = split(convLayer(p.at('conv1_1'), x, c, { kernel: 1 }), 1, [c / 2, c / 2]) as [Sym, Sym];
  const inner = relu(convLayer(p.at('conv_block.0'), left, c / 2, { kernel: 3, bias: false }));
  const convolved = add(convLayer(p.at('conv_block.2'), inner, c / 2, { kernel: 3, bias: false }), left);
  const attended = transpose(transformer(p.at('trans_block'), transpose(right, [0, 2, 3, 1]), isShifted), [0, 3, 1, 2]);
  return add(x, convLayer(p.at('conv1_2'), concat([convolved, attended], 1), c, { kernel: 1 }));
}

/** `torch.nn.ConvTranspose2d(c, c / 2, 2, 2)` without bias. */
function doubling(p: Params, x: Sym): Sym {
  const [, c, h, w] = [0, 1, 2, 3].map((axis) => fixedSize(x, axis)) as [number, number, number, number];
  const weight = p.get('weight', [c, c / 2, 2, 2]);
  return convTranspose2d(x, weight, { stride: 2, pads: [0, 0, 0, 0], groups: 1, height: 2 * h, width: 2 * w });
}

interface ScuNetConfig {
  readonly channels: number;
  readonly width: number;
  /** Blocks of each stage. */
  readonly blocks: readonly number[];
  /** A level whose share of this size is at most a window does not shift its windows. */
  readonly trainingSize: number;
}

function scuNet(p: Params, { channels, width, blocks, trainingSize }: ScuNetConfig, picture: Sym): Sym {
  const run = (stage: number, level: number, x: Sym, from: number): Sym => {
    let h = x;
    for (let i = 0; i < (blocks[stage] ?? 0); i++)
      h = block(p.at(stages[stage] ?? '').at(from + i), h, i % 2 === 1 && trainingSize / 2 ** level > side);
    return h;
  };
  const levels = [convLayer(p.at('m_head.0'), picture, width, { kernel: 3, bias: false })];
  for (let level = 0; level < 3; level++) {
    const h = run(level, level, levels[level] as Sym, 0);
    const down = p.at(stages[level] ?? '').at(blocks[level] ?? 0);
    levels.push(convLayer(down, h, 2 ** (level + 1) * width, { kernel: 2, stride: 2, padding: 0, bias: false }));
  }
  let h = run(3, 3, levels[3] as Sym, 0);
  for (let level = 2; level >= 0; level--) {
    const stage = 6 - level;
    h = run(stage, level, doubling(p.at(stages[stage] ?? '').at(0), add(h, levels[level + 1] as Sym)), 1);
  }
  return convLayer(p.at('m_tail.0'), add(h, levels[0] as Sym), channels, { kernel: 3, bias: false });
}

/** Blocks of a stage: its numbered modules but the one that changes the size, which the body lacks. */
function blocksOf(entries: Entries, stage: string): number {
  return countOf(entries, `${stage}.`, 'SCUNet') - (stage === 'm_body' ? 0 : 1);
}

export const scuNetArchitecture: UpscalerArchitecture = {
  name: 'SCUNet',
  matches: (entries) =>
    entries.has('m_head.0.weight') && entries.has('m_down1.0.trans_block.msa.relative_position_params'),
  read(source, { trainingSize = publishedSize } = {}) {
    const { entries } = source;
    const config = {
      channels: axis(entries, 'm_head.0.weight', 4, 1, 'SCUNet'),
      width: axis(entries, 'm_head.0.weight', 4, 0, 'SCUNet'),
      blocks: stages.map((stage) => blocksOf(entries, stage)),
      trainingSize,
    };
    return {
      architecture: 'SCUNet',
      scale: 1,
      channels: config.channels,
      purpose: 'Restoration',
      tags: [],
      picture: { minimum: 40, multiple: 1 },
      multiple: 64,
      fixedSize: true,
      weights: source,
      trace: (size) =>
        traceNetwork({ x: { dtype: 'float32', shape: [1, config.channels, ...size] } }, (p, given) => ({
          out: scuNet(p, config, need(given, 'x')),
        })),
    };
  },
};
