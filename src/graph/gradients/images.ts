/** Gradients of the operations that resample and pool images. */

import { StableDiffusionError } from '../../errors.ts';
import { float32 } from '../../tensor/tensor.ts';
import { addDims, equalDims, multiplyDims } from '../dim.ts';
import { add, avgPool, constant, equal, matmul, mul, slice, sub, upsampleNearest, where } from '../functions.ts';
import type { Attributes, Window } from '../operations.ts';
import type { Sym } from '../trace.ts';
import { padAxis, spread } from './layout.ts';
import { type GradientRule, type GradientRules, inputOf } from './rule.ts';

/** The elements of x [b, c, h, w] at one position of every window, [b, c, h', w']; `border` replaces those outside. */
function tap(x: Sym, output: Sym, { stride, pads }: Window, place: readonly [number, number], border: number): Sym {
  return [2, 3].reduce((image, axis, i) => {
    const count = output.shape[axis] ?? 1;
    const start = place[i] ?? 0;
    const padded = padAxis(image, axis, pads[i] ?? 0, (pads[i + 2] ?? 0) + stride, border);
    // Elements start, start + stride, …: `count` of them.
    const wide = slice(padded, axis, start, addDims(start, multiplyDims(count, stride)));
    return stride === 1 ? wide : slice(wide, axis, 0, multiplyDims(count, stride), stride);
  }, x);
}

/** Adds to each place of its window what `values` [b, c, h', w'] has for the window: the transpose of `tap`. */
function untap(values: Sym, x: Sym, { kernel, stride, pads }: Window, place: readonly [number, number]): Sym {
  return [2, 3].reduce((image, axis, i) => {
    const [at = 0, before = 0, size = 1] = [place[i], pads[i], kernel[i]];
    const length = x.shape[axis] ?? 1;
    // Counted from the first element of the padding; the windows may leave some elements at the end untouched.
    const wide = padAxis(spread(image, axis, stride), axis, at, size - 1 - at + stride);
    return slice(wide, axis, before, addDims(before, length));
  }, values);
}

function places({ kernel }: Window): [number, number][] {
  const [height, width] = kernel;
  return Array.from({ length: height * width }, (_, i) => [Math.floor(i / width), i % width]);
}

const avgPoolGradient: GradientRule<'avgPool'> = (g, node) => {
  const x = inputOf(node, 0);
  const { kernel, stride, pads } = node.attributes;
  const [height, width] = kernel;
  return [
    () => {
      const share = mul(g, 1 / (height * width));
      if (height === stride && width === stride && pads.every((size) => size === 0)) {
        const wide = upsampleNearest(share, stride);
        // Rows and columns that no window covers have no gradient.
        return [2, 3].reduce((image, axis) => {
          const length = x.shape[axis] ?? 1;
          return equalDims(image.shape[axis] ?? 1, length)
            ? image
            : slice(padAxis(image, axis, 0, stride), axis, 0, length);
        }, wide);
      }
      return places(node.attributes)
        .map((place) => untap(share, x, node.attributes, place))
        .reduce((sum, part) => add(sum, part));
    },
  ];
};

/** The gradient goes to the first largest element of each window. */
const maxPoolGradient: GradientRule<'maxPool'> = (g, node) => {
  const x = inputOf(node, 0);
  return [
    () => {
      let free = g; // The part that no element of the window has taken yet.
      const parts: Sym[] = [];
      for (const place of places(node.attributes)) {
        const largest = equal(tap(x, node.output, node.attributes, place, Number.NEGATIVE_INFINITY), node.output);
        const taken = where(largest, free, 0);
        free = sub(free, taken);
        parts.push(untap(taken, x, node.attributes, place));
      }
      return parts.reduce((sum, part) => add(sum, part));
    },
  ];
};

/** Weight of each input pixel (columns) in each output pixel (rows), as ONNX's Resize has it in the modes that are used. */
function resizeMatrix(from: number, scale: number, mode: Attributes['resize']['mode']): Float32Array {
  const to = Math.floor(from * scale);
  const matrix = new Float32Array(to * from);
  const a = -0.75; // Keys 1981, as PyTorch
  const near = (t: number): number => ((a + 2) * t - (a + 3)) * t * t + 1;
  const far = (t: number): number => ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  for (let row = 0; row < to; row++) {
    const position = mode === 'nearest' ? Math.floor(row / scale) : (row + 0.5) / scale - 0.5;
    const base = Math.floor(position);
    const t = position - base;
    const weights =
      mode === 'nearest' ? [1] : mode === 'bilinear' ? [1 - t, t] : [far(t + 1), near(t), near(1 - t), far(2 - t)];
    const first = mode === 'bicubic' ? base - 1 : base;
    for (const [i, weight] of weights.entries()) {
      const at = row * from + Math.min(Math.max(first + i, 0), from - 1);
      matrix[at] = (matrix[at] ?? 0) + weight;
    }
  }
  return matrix;
}

const resizeGradient: GradientRule<'resize'> = (g, node) => {
  const x = inputOf(node, 0);
  const { mode, scale } = node.attributes;
  return [
    () => {
      const matrix = (axis: number): Sym => {
        const length = x.shape[axis];
        if (typeof length !== 'number')
          throw new StableDiffusionError('shape-mismatch', 'The gradient of a resize needs an image of a known size.');
        return constant(x, float32([Math.floor(length * scale), length], resizeMatrix(length, scale, mode)));
      };
      return matmul(matmul(matrix(2), g, { transposeA: true }), matrix(3));
    },
  ];
};

export const imageGradients: GradientRules<'upsampleNearest' | 'resize' | 'avgPool' | 'maxPool'> = {
  // The sum of each block of pixels.
  upsampleNearest: (g, node) => [() => mul(avgPool(g, { kernel: node.attributes.scale }), node.attributes.scale ** 2)],
  resize: resizeGradient,
  avgPool: avgPoolGradient,
  maxPool: maxPoolGradient,
};
