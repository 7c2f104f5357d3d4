/** The ONNX forms of matrix products and linear layers. */

import type { Value } from '../graph/graph.ts';
import type { Emitter } from './emitter.ts';
import { type Form, inputAt, namesOf, numberOf } from './form.ts';
import { microsoftDomain as microsoft, type NodeOptions } from './onnx-builder.ts';

export const matmul: Form<'matmul'> = (e, inputs, { transposeA, transposeB }, _, options) => {
  if (!transposeA && !transposeB) return e.onnx.node('MatMul', namesOf(e, inputs), {}, options);
  const swapped = (value: Value): string => {
    const rank = value.shape.length;
    return e.onnx.node('Transpose', [e.values.name(value)], {
      perm: Array.from({ length: rank }, (_, i) => (i === rank - 2 ? rank - 1 : i === rank - 1 ? rank - 2 : i)),
    });
  };
  const [a, b] = [inputAt(inputs, 0), inputAt(inputs, 1)];
  // Rows times rows: a row made a column by Transpose would be slow to multiply by. In training, most transposed operands are also read directly.
  const rows = transposeB && !transposeA && b.shape.at(-2) === 1;
  if ((rows || e.options.imageBlock !== undefined) && e.onnx.float === 'float32') {
    return e.onnx.node(
      'FusedMatMul',
      namesOf(e, inputs),
      { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 },
      { ...options, domain: microsoft },
    );
  }
  return e.onnx.node(
    'MatMul',
    [transposeA ? swapped(a) : e.values.name(a), transposeB ? swapped(b) : e.values.name(b)],
    {},
    options,
  );
};

export const linear: Form<'linear'> = (e, inputs, _, output, options) => {
  const [x, weight, bias] = [inputAt(inputs, 0), inputAt(inputs, 1), inputs[2]];
  return linearForm(e, x, [matrixOf(e, weight), ...(bias ? [e.values.name(bias)] : [])], output, options);
};

/** The name of a weight [out, in] or [out, in, 1, 1] as a matrix. */
function matrixOf(e: Emitter, weight: Value): string {
  if (weight.shape.length === 2) return e.values.name(weight);
  const shape = weight.shape.slice(0, 2).map((size) => numberOf(size, 'The width of a linear layer'));
  return e.values.isParameter(weight)
    ? e.values.parameter(weight, shape)
    : e.onnx.node('Reshape', [e.values.name(weight), e.onnx.integers(shape)]);
}

/** x times a matrix, and its bias, that are in the model under `names`. */
export function linearForm(
  e: Emitter,
  x: Value,
  names: readonly string[],
  output: Value,
  options: NodeOptions,
): string {
  if (x.shape.length === 2) return e.onnx.node('Gemm', [e.values.name(x), ...names], { transB: 1 }, options);
  const width = numberOf(x.shape.at(-1), 'The width of a linear layer');
  const rows = e.onnx.node('Reshape', [e.values.name(x), e.onnx.integers([-1, width])]);
  return e.onnx.node(
    'Reshape',
    [e.onnx.node('Gemm', [rows, ...names], { transB: 1 }), e.shapes.vector(output.shape)],
    {},
    options,
  );
}
