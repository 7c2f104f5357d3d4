/**
 * The ONNX forms of linear layers in 8 bits: activations rounded to uint8 over their own range in each run, weights int8 with a scale for each
 * output channel, sums in int32, results in float32. (Kernels for uint8 weights are three times as slow.)
 */

import type { Value } from '../graph/graph.ts';
import { tensor } from '../tensor/tensor.ts';
import type { Emitter } from './emitter.ts';
import { type Form, inputAt } from './form.ts';
import { microsoftDomain, type NodeOptions } from './onnx-builder.ts';

export interface Rounded {
  /** uint8. */
  readonly values: string;
  readonly scale: string;
  readonly zero: string;
}

/** A tensor rounded to 8 bits; once for all layers that read it. */
export function rounded(e: Emitter, x: Value): Rounded {
  const name = e.values.name(x);
  const [values, scale, zero] = [`${name} uint8`, `${name} scale`, `${name} zero`] as const;
  e.onnx.once(values, () => e.onnx.nodeOf('DynamicQuantizeLinear', [name], [values, scale, zero])[0]);
  return { values, scale, zero };
}

/** rows [..., in] · weight [in, out] in float32; `weight` is a name in the model, by default that of the second input. */
export function product(
  e: Emitter,
  rows: Rounded,
  inputs: readonly Value[],
  options: NodeOptions,
  weight = e.values.name(inputAt(inputs, 1)),
): string {
  const scale = e.values.name(inputAt(inputs, 2));
  const bias = inputs[3] ? [e.values.name(inputs[3])] : [];
  return e.onnx.node(
    'MatMulIntegerToFloat',
    [rows.values, weight, rows.scale, scale, rows.zero, '', ...bias],
    {},
    { ...options, domain: microsoftDomain },
  );
}

/** A row of zeros has a step of this size. */
const smallestStep = 1e-30;

/** The largest size of a value in each row, over the steps of 8 bits. */
function rowSteps(e: Emitter, x: Value): string {
  const name = e.values.name(x);
  return e.onnx.once(`${name} row steps`, () => {
    const axes = e.onnx.integers([-1]);
    const largest = e.onnx.node('ReduceMax', [e.onnx.node('Abs', [name]), axes], { keepdims: 1 });
    const steps = e.onnx.node('Mul', [largest, e.onnx.scalar(1 / 127)]);
    return e.onnx.node('Max', [steps, e.onnx.scalar(smallestStep)]);
  });
}

/** Each row rounded over its own range, in steps that the result is multiplied by. */
function productOfRows(e: Emitter, inputs: readonly Value[], options: NodeOptions): string {
  const { onnx } = e;
  const [x, weight, scale, bias] = [inputAt(inputs, 0), inputAt(inputs, 1), inputAt(inputs, 2), inputs[3]];
  const steps = rowSteps(e, x);
  const one = onnx.scalar(1);
  const zero = onnx.constant(tensor('uint8', [], new Uint8Array([128])));
  const values = onnx.node('QuantizeLinear', [onnx.node('Div', [e.values.name(x), steps]), one, zero]);
  const made = onnx.node(
    'MatMulIntegerToFloat',
    [values, e.values.name(weight), one, e.values.name(scale), zero],
    {},
    { domain: microsoftDomain },
  );
  if (!bias) return onnx.node('Mul', [made, steps], {}, options);
  return onnx.node('Add', [onnx.node('Mul', [made, steps]), e.values.name(bias)], {}, options);
}

export const int8Linear: Form<'int8Linear'> = (e, inputs, { range }, _, options) =>
  range === 'row' ? productOfRows(e, inputs, options) : product(e, rounded(e, inputAt(inputs, 0)), inputs, options);
