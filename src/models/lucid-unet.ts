/**
 * The UNet of lucidrains' denoising-diffusion-pytorch (`Unet`): norms by the root mean square, linear attention on all levels but the last,
 * attention with learned keys and values, pixels folded into channels on the way down.
 */

import type { LucidUNetConfig } from '../config/network-config.ts';
import { type Dim, dim, multiplyDims } from '../graph/dim.ts';
import {
  add,
  attention,
  chunk,
  concat,
  cos,
  div,
  expand,
  gelu,
  matmul,
  maximum,
  mul,
  reshape,
  silu,
  sin,
  softmax,
  split,
  sqrt,
  sum,
  transpose,
} from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { dropout } from '../nn/dropout.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { linearLayer } from '../nn/linear.ts';
import { pixelUnshuffle } from '../nn/pixel-shuffle.ts';
import { double } from '../nn/resample.ts';
import { sinesFirstEmbedding } from '../nn/timestep-embedding.ts';
import { toImage, toTokens } from '../nn/tokens.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Learned keys and values of each attention. */
const memories = 4;

/** `RMSNorm`: over the channels. */
function rmsNorm(p: Params, x: Sym): Sym {
  const channels = fixedSize(x, 1);
  const length = maximum(sqrt(sum(mul(x, x), [1], { keepDims: true })), 1e-12);
  return p.module(() => mul(mul(div(x, length), p.get('g', [1, channels, 1, 1])), Math.sqrt(channels)));
}

interface Heads {
  readonly heads: number;
  readonly width: number;
}

/** The learned keys and values, [1, ...shape] each, for every picture of the batch. */
function memory(p: Params, shape: readonly number[], batch: Dim, arrange: (one: Sym) => Sym): [Sym, Sym] {
  const both = split(p.get('mem_kv', [2, ...shape]), 0, [1, 1]) as [Sym, Sym];
  return both.map((one) => {
    const arranged = arrange(one);
    return expand(arranged, [batch, ...arranged.shape.slice(1)]);
  }) as [Sym, Sym];
}

/** `LinearAttention`: keys normalised over the pixels, queries over the width. */
function linearAttention(p: Params, x: Sym, { heads, width }: Heads): Sym {
  return p.module(() => {
    const [b = 1, , h = 1, w = 1] = x.shape;
    const channels = fixedSize(x, 1);
    const normed = rmsNorm(p.at('norm'), x);
    const joint = convLayer(p.at('to_qkv'), normed, 3 * heads * width, { kernel: 1, bias: false });
    const [q, k, v] = (chunk(joint, 1, 3) as [Sym, Sym, Sym]).map((part) =>
      reshape(part, [b, heads, width, multiplyDims(h, w)]),
    ) as [Sym, Sym, Sym];
    const [mk, mv] = memory(p, [heads, width, memories], b, (one) => one);
    const keys = softmax(concat([mk, k], 3), -1);
    const context = matmul(keys, concat([mv, v], 3), { transposeB: true }); // [b, heads, width of k, width of v]
    const attended = matmul(context, mul(softmax(q, -2), 1 / Math.sqrt(width)), { transposeA: true });
    const out = p.at('to_out');
    const image = reshape(attended, [b, heads * width, h, w]);
    return rmsNorm(out.at(1), convLayer(out.at(0), image, channels, { kernel: 1 }));
  });
}

/** `Attention`: softmax attention over all pixels. */
function fullAttention(p: Params, x: Sym, { heads, width }: Heads): Sym {
  return p.module(() => {
    const [b = 1] = x.shape;
    const normed = rmsNorm(p.at('norm'), x);
    const joint = convLayer(p.at('to_qkv'), normed, 3 * heads * width, { kernel: 1, bias: false });
    const [q, k, v] = chunk(toTokens(joint), -1, 3) as [Sym, Sym, Sym];
    const [mk, mv] = memory(p, [heads, memories, width], b, (one) =>
      reshape(transpose(one, [0, 2, 1, 3]), [1, memories, heads * width]),
    );
    const attended = attention(q, concat([mk, k], 1), concat([mv, v], 1), { heads });
    return convLayer(p.at('to_out'), toImage(attended, x), fixedSize(x, 1), { kernel: 1 });
  });
}

/** `Block`: convolution, norm, scale and shift by the timestep, SiLU. */
function block(p: Params, x: Sym, out: number, rate: number, shift?: readonly [Sym, Sym]): Sym {
  return p.module(() => {
    const normed = rmsNorm(p.at('norm'), convLayer(p.at('proj'), x, out, { kernel: 3 }));
    const moved = shift ? add(mul(normed, add(shift[0], 1)), shift[1]) : normed;
    return dropout(p.at('dropout'), silu(moved), rate);
  });
}

function resnetBlock(p: Params, x: Sym, out: number, embedding: Sym, rate: number): Sym {
  return p.module(() => {
    const projected = linearLayer(p.at('mlp.1'), silu(embedding), 2 * out);
    const shift = chunk(reshape(projected, [projected.shape[0] ?? 1, 2 * out, 1, 1]), 1, 2) as [Sym, Sym];
    const h = block(p.at('block2'), block(p.at('block1'), x, out, rate, shift), out, 0);
    return add(h, fixedSize(x, 1) === out ? x : convLayer(p.at('res_conv'), x, out, { kernel: 1 }));
  });
}

function timeEmbedding(p: Params, config: LucidUNetConfig, time: Sym): Sym {
  const scope = p.at('time_mlp');
  const isFourier = config.learned_sinusoidal_cond || config.random_fourier_features;
  const half = config.learned_sinusoidal_dim / 2;
  const waves = (): Sym => {
    const [batch = 1] = time.shape;
    const column = reshape(time, [batch, 1]);
    const angles = mul(mul(column, reshape(scope.at(0).get('weights', [half]), [1, half])), 2 * Math.PI);
    return concat([column, sin(angles), cos(angles)], 1);
  };
  const features = isFourier ? waves() : sinesFirstEmbedding(time, config.dim, config.sinusoidal_pos_emb_theta);
  const width = 4 * config.dim;
  return scope.module(() => linearLayer(scope.at(3), gelu(linearLayer(scope.at(1), features, width)), width));
}

const perLevel = <T>(value: T | readonly T[], level: number): T =>
  (Array.isArray(value) ? (value as readonly T[])[level] : value) as T;

export interface LucidUNetInputs {
  /** [b, channels, h, w]; height and width divisible by 2^(levels - 1). */
  readonly x: Sym;
  /** float32 [b]. */
  readonly time: Sym;
  /** With `self_condition`: the last guess of the clean picture, like x. Default: zeros. */
  readonly selfCondition?: Sym | undefined;
}

/** → [b, out_dim, h, w]. */
export function lucidUNet(p: Params, config: LucidUNetConfig, { x, time, selfCondition }: LucidUNetInputs): Sym {
  const { dim_mults: mults, dropout: rate } = config;
  const last = mults.length - 1;
  const first = config.init_dim ?? config.dim;
  const widths = [first, ...mults.map((mult) => mult * config.dim)];
  const widthAt = (level: number): number => widths[level] as number;
  const headsAt = (level: number): Heads => ({
    heads: perLevel(config.attn_heads, level),
    width: perLevel(config.attn_dim_head, level),
  });
  const isFull = (level: number): boolean =>
    config.full_attn === null || config.full_attn === false ? level === last : perLevel(config.full_attn, level);
  const attend = (scope: Params, value: Sym, level: number): Sym =>
    add((isFull(level) ? fullAttention : linearAttention)(scope, value, headsAt(level)), value);
  const joined = config.self_condition ? concat([selfCondition ?? mul(x, 0), x], 1) : x;
  const start = convLayer(p.at('init_conv'), joined, first, { kernel: 7 });
  const t = timeEmbedding(p, config, time);
  const skips: Sym[] = [];
  let h = start;
  for (let level = 0; level <= last; level++) {
    const scope = p.at('downs').at(level);
    const width = widthAt(level);
    h = resnetBlock(scope.at(0), h, width, t, rate);
    skips.push(h);
    h = attend(scope.at(2), resnetBlock(scope.at(1), h, width, t, rate), level);
    skips.push(h);
    h =
      level < last
        ? convLayer(scope.at('3.1'), pixelUnshuffle(h, 2), widthAt(level + 1), { kernel: 1 })
        : convLayer(scope.at(3), h, widthAt(level + 1), { kernel: 3 });
  }
  const middle = widthAt(last + 1);
  h = resnetBlock(p.at('mid_block1'), h, middle, t, rate);
  h = add(fullAttention(p.at('mid_attn'), h, headsAt(last)), h);
  h = resnetBlock(p.at('mid_block2'), h, middle, t, rate);
  for (let level = last; level >= 0; level--) {
    const scope = p.at('ups').at(last - level);
    const width = widthAt(level + 1);
    for (const place of [0, 1]) h = resnetBlock(scope.at(place), concat([h, skips.pop() as Sym], 1), width, t, rate);
    h = attend(scope.at(2), h, level);
    h =
      level > 0
        ? convLayer(scope.at('3.1'), double(h), widthAt(level), { kernel: 3 })
        : convLayer(scope.at(3), h, widthAt(level), { kernel: 3 });
  }
  h = resnetBlock(p.at('final_res_block'), concat([h, start], 1), first, t, rate);
  const channels = config.out_dim ?? config.channels * (config.learned_variance ? 2 : 1);
  return convLayer(p.at('final_conv'), h, channels, { kernel: 1 });
}

/** x [batch, channels, height, width], timesteps float32 [batch], and with a guess x_self_cond like x → out. */
export function traceLucidUNet(config: LucidUNetConfig, options?: NetworkTraceOptions, hasGuess = false): Graph {
  const unit = 2 ** (config.dim_mults.length - 1);
  const batch = dim('batch');
  const image: InputSpec = {
    dtype: 'float32',
    shape: [batch, config.channels, multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))],
  };
  return traceNetwork(
    {
      x: image,
      timesteps: { dtype: 'float32', shape: [batch] },
      ...(hasGuess ? { x_self_cond: image } : {}),
    },
    (p, given) => ({
      out: lucidUNet(p, config, {
        x: need(given, 'x'),
        time: need(given, 'timesteps'),
        selfCondition: given['x_self_cond'],
      }),
    }),
    options,
  );
}
