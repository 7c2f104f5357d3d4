/**
 * The ONNX forms of layers in 8 bits: activations rounded to uint8 over their own range in each run, weights int8 with a scale for each
 * output channel, sums in int32, results in float32. (Kernels for uint8 weights are three times as slow.)
 *
 * A convolution is a matrix product over its window: the image with channels last, moved by each element of the kernel, side by side.
 */

import { addDims, multiplyDims, subtractDims } from '../graph/dim.ts';
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

export const int8Conv2d: Form<'int8Conv2d'> = (e, inputs, { kernel, stride, pads }, output, options) => {
  const { onnx, shapes } = e;
  const x = rounded(e, inputAt(inputs, 0));
  // Once for the whole module: the shortcut of a residual block reads the same image.
  const last = `${x.values} channels last`;
  onnx.once(last, () => onnx.node('Transpose', [x.values], { perm: [0, 2, 3, 1] }, { output: last }));
  const [top, left, bottom, right] = pads;
  const padded = pads.every((count) => count === 0)
    ? last
    : onnx.node('Pad', [last, onnx.integers([0, top, left, 0, 0, bottom, right, 0]), x.zero]);
  const [kh, kw] = kernel;
  /** Rows and columns of the window's element, for each pixel of the result. */
  const moved = (i: number, j: number): string => {
    const ends = [i, j].map((start, axis) =>
      addDims(start, addDims(1, multiplyDims(stride, subtractDims(output.shape[2 + axis] ?? 1, 1)))),
    );
    return onnx.node('Slice', [
      padded,
      onnx.integers([i, j]),
      shapes.vector(ends),
      onnx.integers([1, 2]),
      onnx.integers([stride, stride]),
    ]);
  };
  const elements = Array.from({ length: kh * kw }, (_, k): [number, number] => [Math.floor(k / kw), k % kw]);
  const single = kh * kw === 1 && stride === 1;
  const window = single
    ? padded
    : onnx.node(
        'Concat',
        elements.map(([i, j]) => moved(i, j)),
        { axis: 3 },
      );
  const result = product(e, { ...x, values: window }, inputs, {});
  return onnx.node('Transpose', [result], { perm: [0, 3, 1, 2] }, options);
};
