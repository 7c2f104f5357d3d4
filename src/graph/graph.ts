/**
 * Graph: what a network is once it has been traced. Nodes in the order they were made, each an operation of the closed table in
 * `operations.ts` with one output; inputs, parameters and constants are the leaves. A graph has no weights and is independent of engines.
 */

import type { Tensor } from '../tensor/tensor.ts';
import type { Attributes, OpName } from './operations.ts';
import type { Value } from './value.ts';

export type { Value } from './value.ts';

export interface Node<K extends OpName = OpName> {
  readonly op: K;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes[K];
  readonly output: Value;
  /** The module of the node, e.g. `input_blocks.1.0`; '' at the top. */
  readonly scope: string;
}

/** Any node, as a union discriminated by `op`. */
export type AnyNode = { [K in OpName]: Node<K> }[OpName];

export interface NamedValue {
  readonly name: string;
  readonly value: Value;
}

export interface Constant {
  readonly value: Value;
  readonly tensor: Tensor;
}

export interface Graph {
  readonly inputs: readonly NamedValue[];
  /** In the order of declaration. Shapes consist of numbers. */
  readonly parameters: readonly NamedValue[];
  readonly constants: readonly Constant[];
  readonly nodes: readonly AnyNode[];
  readonly outputs: readonly NamedValue[];
}
