/** The form of an operation: the function that emits it as ONNX nodes, and what such functions share. */

import { StableDiffusionError } from '../errors.ts';
import type { Value } from '../graph/graph.ts';
import type { Attributes, OpName } from '../graph/operations.ts';
import type { Emitter } from './emitter.ts';
import type { NodeOptions } from './onnx-builder.ts';

/** Emits the operation and returns the name of its output, which must be `options.output`. */
export type Form<K extends OpName> = (
  e: Emitter,
  inputs: readonly Value[],
  attributes: Attributes[K],
  output: Value,
  options: NodeOptions,
) => string;

/** An operation's input. */
export function inputAt<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new StableDiffusionError('invalid-argument', `An operation lacks its input ${index}.`);
  return item;
}

export const namesOf = (e: Emitter, inputs: readonly Value[]): string[] => inputs.map((input) => e.values.name(input));

/** A size that the form needs as a number. */
export function numberOf(value: unknown, what: string): number {
  if (typeof value !== 'number')
    throw new StableDiffusionError('shape-mismatch', `${what} must be known when the graph is compiled.`);
  return value;
}

/** The sizes of a convolution's kernel, from its weight [out, in, kh, kw]. */
export function kernelOf(weight: Value): [number, number] {
  const [, , kh, kw] = weight.shape;
  return [numberOf(kh, 'A kernel size'), numberOf(kw, 'A kernel size')];
}
