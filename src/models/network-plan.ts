/** A plan: which graphs of a network to run, and on which tensors, so that given inputs yield all the outputs the reference names. */

import { StableDiffusionError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import type { NetworkTraceOptions } from './trace-network.ts';

export type TracePart = (options?: NetworkTraceOptions) => Graph;

/** A tensor for a graph's input: given or made by an earlier step, perhaps under another shape with as many elements. */
export type PlannedInput = string | { readonly tensor: string; readonly shape: Shape };

export interface PlanStep {
  /** Name of the graph among the network's parts. Steps with the same part run the same program. */
  readonly part: string;
  readonly trace: TracePart;
  /** By the graph's input names. */
  readonly inputs: Readonly<Record<string, PlannedInput>>;
  /** Names for the graph's outputs among the results; others keep theirs. Taps are kept of the first step of a part. */
  readonly outputs?: Readonly<Record<string, string>>;
}

/** Element type and shape of the given tensors, by name. */
export type GivenInputs = ReadonlyMap<string, { readonly dtype: DType; readonly shape: Shape }>;

export interface NetworkDefinition<C> {
  /** Every graph the network has; together they declare all its parameters. */
  readonly parts: (config: C) => Readonly<Record<string, TracePart>>;
  /** Steps for the given tensors; none where they do not suffice for any. */
  readonly plan: (config: C, given: GivenInputs) => readonly PlanStep[];
  /** The names of the tensors the network takes, for messages. */
  readonly inputs: readonly string[];
  /** Final computation on plain tensors: from the outputs of the steps to the results. */
  readonly finish?: (results: ReadonlyMap<string, Tensor>, inputs: ReadonlyMap<string, Tensor>) => Map<string, Tensor>;
}

/** Shape of a given tensor; throws `invalid-argument` where it is missing or has another rank. */
export function givenShape(given: GivenInputs, name: string, rank: number): Shape {
  const found = given.get(name);
  if (found?.shape.length === rank) return found.shape;
  throw new StableDiffusionError(
    'invalid-argument',
    found
      ? `${name} has shape [${found.shape.join(', ')}], and ${rank} dimensions were expected.`
      : `The tensor ${name} is missing.`,
  );
}

/** The definition of a network that is one graph with inputs of the given names. */
export function singleGraph<C>(
  inputs: readonly string[],
  trace: (config: C, options?: NetworkTraceOptions) => Graph,
): NetworkDefinition<C> {
  return {
    inputs,
    parts: (config) => ({ forward: (options) => trace(config, options) }),
    plan: (config, given) =>
      inputs.every((name) => given.has(name))
        ? [
            {
              part: 'forward',
              trace: (options) => trace(config, options),
              inputs: Object.fromEntries(inputs.map((name) => [name, name])),
            },
          ]
        : [],
  };
}

/** Wraps a network to refuse rows with more ids than it has positions. Throws `shape-mismatch`. */
export function atMost<C>(
  definition: NetworkDefinition<C>,
  input: string,
  longest: (config: C) => number,
): NetworkDefinition<C> {
  return {
    ...definition,
    plan: (config, given) => {
      const count = given.get(input)?.shape[1] ?? 0;
      if (count > longest(config))
        throw new StableDiffusionError(
          'shape-mismatch',
          `${input} has rows of ${count} ids, and the network has positions for ${longest(config)}. Split the text into pieces.`,
        );
      return definition.plan(config, given);
    },
  };
}
