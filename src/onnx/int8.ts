/**
 * The ONNX forms of layers in 8 bits: activations rounded to uint8 over their own range in each run, weights int8 with a scale for each
 * output channel, sums in int32, results in float32. (Kernels for uint8 weights are three times as slow.)
 *
 * A convolution is a matrix product over its window: the image with channels last, moved by each element of the kernel, side by side.
 */

import { addDims, type Dim, divideDim, exactQuotient, multiplyDims, subtractDims } from '../graph/dim.ts';
import type { Value } from '../graph/graph.ts';
import type { Emitter } from './emitter.ts';
import { type Form, inputAt } from './form.ts';
import { microsoftDomain, type NodeOptions } from './onnx-builder.ts';

interface Rounded {
  /** uint8. */
  readonly values: string;
  readonly scale: string;
  readonly zero: string;
}

/** A tensor rounded to 8 bits; once for all layers that read it. */
function rounded(e: Emitter, x: Value): Rounded {
  const name = e.values.name(x);
  const [values, scale, zero] = [`${name} uint8`, `${name} scale`, `${name} zero`] as const;
  e.onnx.once(values, () => e.onnx.nodeOf('DynamicQuantizeLinear', [name], [values, scale, zero])[0]);
  return { values, scale, zero };
}

/** rows [..., in] · weight [in, out] in float32. */
function product(e: Emitter, rows: Rounded, inputs: readonly Value[], options: NodeOptions): string {
  const [weight, scale] = [e.values.name(inputAt(inputs, 1)), e.values.name(inputAt(inputs, 2))];
  const bias = inputs[3] ? [e.values.name(inputs[3])] : [];
  return e.onnx.node(
    'MatMulIntegerToFloat',
    [rows.values, weight, rows.scale, scale, rows.zero, '', ...bias],
    {},
    { ...options, domain: microsoftDomain },
  );
}

export const int8Linear: Form<'int8Linear'> = (e, inputs, _, __, options) =>
  product(e, rounded(e, inputAt(inputs, 0)), inputs, options);

/** Processes the windows strip by strip if the image is larger than the network's input, to save memory. */
const mostStrips = 8;

/** Number of equal strips that the result can be cut into, for any symbols. */
function stripsOf(height: Dim): number {
  if (typeof height === 'number') return 1;
  for (let count = mostStrips; count > 1; count--) if (exactQuotient(height, count) !== undefined) return count;
  return 1;
}

/** First row, and number of rows. */
type Strip = readonly [first: Dim, rows: Dim];

export const int8Conv2d: Form<'int8Conv2d'> = (e, inputs, { kernel, stride, pads }, output, options) => {
  const { onnx, shapes } = e;
  const x = rounded(e, inputAt(inputs, 0));
  const last = `${x.values} channels last`;
  onnx.once(last, () => onnx.node('Transpose', [x.values], { perm: [0, 2, 3, 1] }, { output: last }));
  const [top, left, bottom, right] = pads;
  const padded = pads.every((count) => count === 0)
    ? last
    : onnx.node('Pad', [last, onnx.integers([0, top, left, 0, 0, bottom, right, 0]), x.zero]);
  const [kh, kw] = kernel;
  const [height = 1, width = 1] = output.shape.slice(2);
  /** The pixel that an element of the window meets, for each pixel of a strip. */
  const moved = ([first, rows]: Strip, i: number, j: number): string => {
    const starts = [addDims(multiplyDims(first, stride), i), j];
    const ends = [rows, width].map((size, axis) =>
      addDims(starts[axis] ?? 0, addDims(1, multiplyDims(stride, subtractDims(size, 1)))),
    );
    const steps = onnx.integers([stride, stride]);
    return onnx.node('Slice', [padded, shapes.vector(starts), shapes.vector(ends), onnx.integers([1, 2]), steps]);
  };
  const elements = Array.from({ length: kh * kw }, (_, k): [number, number] => [Math.floor(k / kw), k % kw]);
  const inOrder = (strip: Strip, named: NodeOptions): string => {
    const moves = elements.map(([i, j]) => moved(strip, i, j));
    const window = onnx.node('Concat', moves, { axis: 3 });
    return onnx.node('Transpose', [product(e, { ...x, values: window }, inputs, {})], { perm: [0, 3, 1, 2] }, named);
  };
  const count = stripsOf(height);
  if (count === 1) return inOrder([0, height], options);
  const rows = divideDim(height, count);
  const strips = Array.from({ length: count }, (_, k) => inOrder([multiplyDims(rows, k), rows], {}));
  return onnx.node('Concat', strips, { axis: 2 }, options);
};
