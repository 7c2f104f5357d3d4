/** Layers that the annotators share. */

import {
  add,
  concat,
  constant,
  conv2d,
  convTranspose2d,
  groupNorm,
  pad,
  relu,
  reshape,
  slice,
  transpose,
} from '../../graph/functions.ts';
import type { Pads } from '../../graph/operations.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { float32 } from '../../tensor/tensor.ts';

/** `InstanceNorm2d` without parameters, x [b, c, h, w]. */
export function instanceNorm(x: Sym): Sym {
  const channels = fixedSize(x, 1);
  const filled = (value: number): Sym => constant(x, float32([channels], new Float32Array(channels).fill(value)));
  return groupNorm(x, filled(1), filled(0), { groups: channels, epsilon: 1e-5 });
}

/** `ReflectionPad2d` of an image of a known size. */
export function reflectionPad(x: Sym, count: number): Sym {
  const along = (value: Sym, of: number): Sym => {
    const size = fixedSize(value, of);
    const line = (at: number): Sym => slice(value, of, at, at + 1);
    const before = Array.from({ length: count }, (_, i) => line(Math.min(count - i, size - 1)));
    const after = Array.from({ length: count }, (_, i) => line(Math.max(size - 2 - i, 0)));
    return concat([...before, value, ...after], of);
  };
  return along(along(x, 2), 3);
}

/** `ConvTranspose2d`, stride 2: parameters `weight` [in, out, k, k] and `bias` [out]. The image becomes twice as large. */
export function doublingConv(p: Params, x: Sym, out: number, kernel: number, pads: Pads): Sym {
  return p.module(() => {
    const weight = p.get('weight', [fixedSize(x, 1), out, kernel, kernel]);
    const options = { stride: 2, pads, groups: 1, height: 2 * fixedSize(x, 2), width: 2 * fixedSize(x, 3) };
    return add(convTranspose2d(x, weight, options), reshape(p.get('bias', [out]), [1, out, 1, 1]));
  });
}

/** Zeros around an image. */
export const zeroPad = (x: Sym, [top, left, bottom, right]: Pads): Sym =>
  pad(x, [0, 0, top, left], [0, 0, bottom, right]);

/** 3x3 convolution whose taps lie `dilation` pixels apart: nine shifted images through one 1x1 convolution. x has a known size. */
export function dilatedConv(
  p: Params,
  x: Sym,
  out: number,
  dilation: number,
  { bias = true }: { readonly bias?: boolean } = {},
): Sym {
  return p.module(() => {
    const channels = fixedSize(x, 1);
    const [height, width] = [fixedSize(x, 2), fixedSize(x, 3)];
    const wide = zeroPad(x, [dilation, dilation, dilation, dilation]);
    const shifted = [0, 1, 2].flatMap((row) =>
      [0, 1, 2].map((column) =>
        slice(slice(wide, 2, row * dilation, row * dilation + height), 3, column * dilation, column * dilation + width),
      ),
    );
    const weight = transpose(p.get('weight', [out, channels, 3, 3]), [0, 2, 3, 1]);
    return conv2d(
      concat(shifted, 1),
      reshape(weight, [out, 9 * channels, 1, 1]),
      bias ? p.get('bias', [out]) : undefined,
    );
  });
}

/** `ConvTranspose2d` whose kernel and stride are `factor`: every pixel becomes a square. */
export function growingConv(p: Params, x: Sym, factor: number): Sym {
  const channels = fixedSize(x, 1);
  const grown = convTranspose2d(x, p.get('weight', [channels, channels, factor, factor]), {
    stride: factor,
    pads: [0, 0, 0, 0],
    groups: 1,
    height: factor * fixedSize(x, 2),
    width: factor * fixedSize(x, 3),
  });
  return add(grown, reshape(p.get('bias', [channels]), [1, channels, 1, 1]));
}

/** Convolution with ReLU: parameters `NAME.weight`, `NAME.bias`. */
export function convRelu(p: Params, x: Sym, out: number, kernel: number, active = true): Sym {
  return p.module(() => {
    const half = kernel >> 1;
    const weight = p.get('weight', [out, fixedSize(x, 1), kernel, kernel]);
    const h = conv2d(x, weight, p.get('bias', [out]), { padding: half });
    return active ? relu(h) : h;
  });
}
