/**
 * The ONNX forms of linear layers in 8 bits: activations rounded to uint8 over their own range in each run, weights int8 with a scale for each
 * output channel, sums in int32, results in float32. (Kernels for uint8 weights are three times as slow.)
 */

import type { Value } from '../graph/graph.ts';
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

export const int8Linear: Form<'int8Linear'> = (e, inputs, _, __, options) =>
  product(e, rounded(e, inputAt(inputs, 0)), inputs, options);
