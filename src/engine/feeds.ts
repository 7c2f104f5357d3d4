/** What both engines do before a run: check the inputs against the graph and bring them to the element types it declares. */

import { StableDiffusionError } from '../errors.ts';
import { bindShape, evaluateShape } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import { convert } from '../tensor/convert.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
import type { Tensors } from './engine.ts';

/** No tensor of more elements than this is asked for: beyond it, sizes no longer fit the runtime's 32-bit counts of bytes. */
const largestTensor = 2 ** 30;

/**
 * The inputs as the program takes them. Checks names, shapes and the sizes of everything the graph would make of them, before any memory is spent.
 * @throws `shape-mismatch`, `too-large`
 */
export function prepareFeeds(graph: Graph, inputs: Tensors, parameters: 'fixed' | 'inputs'): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  const bindings = new Map<string, number>();
  const wanted = parameters === 'inputs' ? [...graph.inputs, ...graph.parameters] : graph.inputs;
  for (const { name, value } of wanted) {
    const given = inputs[name];
    if (!given) throw new StableDiffusionError('shape-mismatch', `Input ${name} is missing; the program takes ${wanted.map((input) => input.name).join(', ')}.`);
    bindShape(name, value.shape, given.shape, bindings);
    feeds[name] = convert(given, value.dtype);
  }
  for (const node of graph.nodes) {
    const count = elementCount(evaluateShape(node.output.shape, bindings));
    if (count > largestTensor) {
      throw new StableDiffusionError('too-large', `These sizes need a tensor of ${count} elements${node.scope ? ` in ${node.scope}` : ''} (at most ${largestTensor} are possible). Use a smaller image or batch.`);
    }
  }
  return feeds;
}

/** Names of the outputs a run returns. */
export function wantedOutputs(graph: Graph, outputs: readonly string[] | undefined): string[] {
  const known = graph.outputs.map(({ name }) => name);
  for (const name of outputs ?? []) {
    if (!known.includes(name)) throw new StableDiffusionError('invalid-argument', `The program has no output ${name}; it has ${known.join(', ')}.`);
  }
  return outputs ? [...outputs] : known;
}
