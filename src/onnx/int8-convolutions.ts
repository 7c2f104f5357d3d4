/**
 * The ONNX forms of convolutions in 8 bits, on images with channels last.
 *
 * A convolution with a result in float32 is a matrix product over its window: the image moved by each element of the kernel, side by side.
 * Direct convolutions build no window, which is most of the time on large images; they round their result to 8 bits, over a range that has
 * to be known before: that of the pixels in every fourth row and column, and a little more.
 */

import { addDims, type Dim, divideDim, exactQuotient, multiplyDims, subtractDims } from '../graph/dim.ts';
import type { Value } from '../graph/graph.ts';
import type { Pads } from '../graph/operations.ts';
import { tensor } from '../tensor/tensor.ts';
import type { Emitter } from './emitter.ts';
import { type Form, inputAt, kernelOf, numberOf } from './form.ts';
import { product, type Rounded, rounded } from './int8.ts';
import { microsoftDomain } from './onnx-builder.ts';

/** The image with a border of zeros. */
function padded(e: Emitter, x: Rounded, pads: Pads): string {
  if (pads.every((count) => count === 0)) return x.values;
  const [top, left, bottom, right] = pads;
  return e.onnx.node('Pad', [x.values, e.onnx.integers([0, top, left, 0, 0, bottom, right, 0]), x.zero]);
}

/** Pixels of the result along an axis: `count` of them, `step` apart, from `first`. */
interface Pixels {
  readonly first: Dim;
  readonly count: Dim;
  readonly step: number;
}

/** For each element of a kernel's row or column, the pixels of the image that it meets; side by side in the channels. */
function moved(e: Emitter, image: string, axis: 1 | 2, elements: number, { first, count, step }: Pixels): string {
  const { onnx, shapes } = e;
  const length = addDims(1, multiplyDims(step, subtractDims(count, 1)));
  const moves = Array.from({ length: elements }, (_, element) => {
    const start = addDims(first, element);
    const bounds = [shapes.vector([start]), shapes.vector([addDims(start, length)])];
    return onnx.node('Slice', [image, ...bounds, onnx.integers([axis]), onnx.integers([step])]);
  });
  return moves.length === 1 ? (moves[0] as string) : onnx.node('Concat', moves, { axis: 3 });
}

/** Processes the windows strip by strip if the image is larger than the network's input, to save memory. */
const mostStrips = 8;

/** Number of equal strips that the result can be cut into, for any symbols. */
function stripsOf(height: Dim): number {
  if (typeof height === 'number') return 1;
  for (let count = mostStrips; count > 1; count--) if (exactQuotient(height, count) !== undefined) return count;
  return 1;
}

export const int8Conv2d: Form<'int8Conv2d'> = (e, inputs, { kernel, stride, pads }, output, options) => {
  const x = rounded(e, inputAt(inputs, 0));
  const [kh, kw] = kernel;
  const [height = 1, width = 1] = output.shape.slice(1);
  const wide = moved(e, padded(e, x, pads), 2, kw, { first: 0, count: width, step: stride });
  const strip = (first: Dim, count: Dim): Rounded => ({
    ...x,
    values: moved(e, wide, 1, kh, { first: multiplyDims(first, stride), count, step: stride }),
  });
  const count = stripsOf(height);
  if (count === 1) return product(e, strip(0, height), inputs, options);
  const rows = divideDim(height, count);
  const strips = Array.from({ length: count }, (_, k) => product(e, strip(multiplyDims(rows, k), rows), inputs, {}));
  return e.onnx.node('Concat', strips, { axis: 1 }, options);
};

/** Every how many rows and columns the range of a result is looked at, and how much wider than there it is taken to be. */
const sampling = { step: 4, margin: 1.1 };

/** Scale and zero point for the result of a convolution, from some of its pixels. */
function rangeOf(e: Emitter, x: Rounded, inputs: readonly Value[], output: Value, pads: Pads): Omit<Rounded, 'values'> {
  const { onnx } = e;
  const weight = inputAt(inputs, 1);
  const [kh, kw] = kernelOf(weight);
  const [height = 1, width = 1] = output.shape.slice(1);
  const some = (size: Dim): Pixels => ({
    first: 0,
    count: addDims(1, divideDim(subtractDims(size, 1), sampling.step)),
    step: sampling.step,
  });
  const columns = moved(e, padded(e, x, pads), 2, kw, some(width));
  const window = moved(e, columns, 1, kh, some(height));
  // [out, in, kh, kw] → [kh · kw · in, out]: done once, when the runtime loads the model.
  const matrix = onnx.node('Reshape', [
    onnx.node('Transpose', [e.values.name(weight)], { perm: [2, 3, 1, 0] }),
    onnx.integers([-1, numberOf(weight.shape[0], 'The number of channels')]),
  ]);
  const sample = product(e, { ...x, values: window }, inputs, {}, matrix);
  const [, scale, zero] = onnx.nodeOf('DynamicQuantizeLinear', [sample], [
    `${sample} uint8`,
    `${sample} scale`,
    `${sample} zero`,
  ] as const);
  return { scale: onnx.node('Mul', [scale, onnx.scalar(sampling.margin)]), zero };
}

export const int8DirectConv2d: Form<'int8DirectConv2d'> = (e, inputs, { pads }, output, options) => {
  const { onnx } = e;
  const [weight, scale, bias] = [inputAt(inputs, 1), inputAt(inputs, 2), inputs[3]];
  const x = rounded(e, inputAt(inputs, 0));
  const range = rangeOf(e, x, inputs, output, pads);
  const out = numberOf(weight.shape[0], 'The number of channels');
  const zeros = onnx.constant(tensor('int8', [out], new Int8Array(out)));
  const operands = [x.values, x.scale, x.zero, e.values.name(weight), e.values.name(scale), zeros];
  operands.push(range.scale, range.zero);
  if (bias) {
    const steps = onnx.node('Div', [e.values.name(bias), onnx.node('Mul', [x.scale, e.values.name(scale)])]);
    operands.push(onnx.node('Cast', [onnx.node('Round', [steps])], { to: 6 }));
  }
  const values = onnx.node(
    'QLinearConv',
    operands,
    { channels_last: 1, kernel_shape: kernelOf(weight), pads, strides: [1, 1] },
    { domain: microsoftDomain },
  );
  return onnx.node('DequantizeLinear', [values, range.scale, range.zero], {}, options);
};
