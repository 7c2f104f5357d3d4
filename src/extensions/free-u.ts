/**
 * FreeU (Si et al. 2023, "FreeU: Free Lunch in Diffusion U-Net", arXiv 2309.11497): in the second half the network's own features are
 * strengthened, and low frequencies of the skip connections weakened. As diffusers' `enable_freeu`; version 2 as ComfyUI's FreeU_V2.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Dim } from '../graph/dim.ts';
import {
  add,
  concat,
  constant,
  cos,
  dimension,
  div,
  matmul,
  max,
  maximum,
  mean,
  mul,
  neg,
  range,
  cast,
  reshape,
  sin,
  slice,
  sub,
} from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { float32 } from '../tensor/tensor.ts';
import type { Extension } from './extension.ts';

export interface FreeU {
  /** Factors on half of the channels of the network's own features, in the deepest and the next level. 1 changes nothing. */
  readonly b1: number;
  readonly b2: number;
  /** Factors on the low frequencies of the skip connections there. */
  readonly s1: number;
  readonly s2: number;
}

export interface FreeUOptions {
  /** 2 scales by the features' mean, as FreeU_V2. Default 1. */
  readonly version?: 1 | 2;
  /** Which output blocks are of the first and the second stage: by the level (diffusers, default), or by the width of h against `model_channels` (ComfyUI: four times, twice). */
  readonly stages?: 'level' | 'width';
}

/** cos(k · 2π · n / size) and the sines, [size, 2 · reach], for k from -reach to reach - 1. */
function waves(x: Sym, size: Dim, reach: number): { readonly cosines: Sym; readonly sines: Sym } {
  const positions = reshape(cast(range(x, size), 'float32'), [size, 1]);
  const steps = Float32Array.from({ length: 2 * reach }, (_, i) => (i - reach) * 2 * Math.PI);
  const angles = div(mul(positions, constant(x, float32([1, 2 * reach], steps))), dimension(x, size));
  return { cosines: cos(angles), sines: sin(angles) };
}

/** Real and imaginary part of the projection onto those frequencies along one axis, [size, size]. */
function projection(x: Sym, size: Dim, reach: number): { readonly real: Sym; readonly imaginary: Sym } {
  const { cosines: c, sines: s } = waves(x, size, reach);
  const product = (a: Sym, b: Sym): Sym => matmul(a, b, { transposeB: true });
  // An axis of fewer places than frequencies has only as many; they are counted once.
  const count = maximum(dimension(x, size), 2 * reach);
  return {
    real: div(add(product(c, c), product(s, s)), count),
    imaginary: div(sub(product(s, c), product(c, s)), count),
  };
}

/** x [b, c, h, w] with the frequencies from -threshold to threshold - 1 of both axes multiplied by `scale` (`fourier_filter`). */
export function fourierFilter(x: Sym, threshold: number, scale: number): Sym {
  const [, , height = 1, width = 1] = x.shape;
  const [rows, columns] = [projection(x, height, threshold), projection(x, width, threshold)];
  const real = matmul(matmul(rows.real, x), columns.real, { transposeB: true });
  const other = matmul(matmul(rows.imaginary, x), columns.imaginary, { transposeB: true });
  return add(x, mul(sub(real, other), scale - 1));
}

/** The first half of h's channels times b; in version 2 by the mean over all channels, from its smallest (1) to its largest value (b). */
function strengthen(h: Sym, b: number, version: 1 | 2): Sym {
  const channels = fixedSize(h, 1);
  const half = Math.floor(channels / 2);
  const own = slice(h, 1, 0, half);
  let factor: Sym | number = b;
  if (version === 2) {
    const average = mean(h, [1], { keepDims: true });
    const [highest, lowest] = [
      max(average, [2, 3], { keepDims: true }),
      neg(max(neg(average), [2, 3], { keepDims: true })),
    ];
    factor = add(mul(div(sub(average, lowest), sub(highest, lowest)), b - 1), 1);
  }
  return concat([mul(own, factor), slice(h, 1, half, channels)], 1);
}

/** Throws `invalid-argument` for factors that are not finite. */
export function freeU(factors: FreeU, { version = 1, stages = 'level' }: FreeUOptions = {}): Extension {
  const { b1, b2, s1, s2 } = factors;
  for (const [name, value] of Object.entries(factors))
    if (!Number.isFinite(value))
      throw new StableDiffusionError('invalid-argument', `FreeU's ${name} is ${value}; it must be a finite number.`);
  return {
    name: `free-u ${[b1, b2, s1, s2, version, stages].join(' ')}`,
    inputs: () => ({}),
    hooks: ({ channel_mult, model_channels }) => ({
      join(h, skip, level) {
        const deepest = channel_mult.length - 1;
        const width = fixedSize(h, 1) / model_channels;
        const first = stages === 'level' ? level === deepest : width === 4;
        const second = stages === 'level' ? level === deepest - 1 : width === 2;
        if (!first && !second) return [h, skip];
        const [b, s] = first ? [b1, s1] : [b2, s2];
        return [strengthen(h, b, version), fourierFilter(skip, 1, s)];
      },
    }),
  };
}
