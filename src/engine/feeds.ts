/** What both engines do before a run: check the inputs against the graph and bring them to the element types it declares. */

import { StableDiffusionError } from '../errors.ts';
import { bindShape, evaluateShape } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import { convert } from '../tensor/convert.ts';
import { elementCount, type Shape, type Tensor } from '../tensor/tensor.ts';
import type { CompileOptions, EngineState, StateBinding, Tensors } from './engine.ts';

/** No tensor of more elements than this is asked for: beyond it, sizes no longer fit the runtime's 32-bit counts of bytes. */
const largestTensor = 2 ** 30;

/**
 * The inputs as the program takes them. Checks names, shapes and the sizes of everything the graph would make of them, before any memory is spent.
 * @throws `shape-mismatch`, `too-large`
 */
export function prepareFeeds(graph: Graph, inputs: Tensors, parameters: CompileOptions['parameters'], bound?: { readonly state: EngineState; readonly names: StateBinding['inputs'] }): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  const bindings = new Map<string, number>();
  const given = givenParameters(graph, parameters);
  const wanted = [...graph.inputs, ...graph.parameters.filter(({ name }) => given.has(name))];
  for (const { name, value } of wanted) {
    const place = bound?.names?.[name];
    if (bound && place !== undefined) {
      bindShape(name, value.shape, boundShape(bound.state, place, value), bindings);
      continue;
    }
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

/** The parameters that are inputs of the program. */
export function givenParameters(graph: Graph, parameters: CompileOptions['parameters']): ReadonlySet<string> {
  if (parameters === 'inputs') return new Set(graph.parameters.map(({ name }) => name));
  return typeof parameters === 'object' ? parameters.inputs : new Set();
}

/** The shape in which a program takes a tensor of a state: its own, or flat where one dimension is declared. */
function boundShape(state: EngineState, name: string, declared: { readonly dtype: string; readonly shape: readonly unknown[] }): Shape {
  const entry = state.entries.get(name);
  if (!entry) throw new StableDiffusionError('shape-mismatch', `The state has no tensor ${name}.`);
  if (entry.dtype !== declared.dtype) throw new StableDiffusionError('shape-mismatch', `The state's tensor ${name} is ${entry.dtype}, and ${declared.dtype} was expected.`);
  return declared.shape.length === 1 && entry.shape.length !== 1 ? [elementCount(entry.shape)] : entry.shape;
}

/** Checks the outputs that stay in a state, and says which of a program's outputs are returned. */
export function unboundOutputs(graph: Graph, state: EngineState, bound: StateBinding['outputs'] = {}): string[] {
  const known = wantedOutputs(graph, undefined);
  for (const [output, name] of Object.entries(bound)) {
    if (!known.includes(output)) throw new StableDiffusionError('invalid-argument', `The program has no output ${output} to keep; it has ${known.join(', ')}.`);
    if (!state.entries.has(name)) throw new StableDiffusionError('invalid-argument', `The state has no tensor ${name} for the output ${output}.`);
  }
  return known.filter((output) => !(output in bound));
}

/** Names of the outputs a run returns. */
export function wantedOutputs(graph: Graph, outputs: readonly string[] | undefined): string[] {
  const known = graph.outputs.map(({ name }) => name);
  for (const name of outputs ?? []) {
    if (!known.includes(name)) throw new StableDiffusionError('invalid-argument', `The program has no output ${name}; it has ${known.join(', ')}.`);
  }
  return outputs ? [...outputs] : known;
}

/** Throws `shape-mismatch` where a tensor of a state would change its type or shape. */
export function checkStateWrite(entries: EngineState['entries'], tensors: Tensors): void {
  for (const [name, { dtype, shape }] of Object.entries(tensors)) {
    const known = entries.get(name);
    if (known && (known.dtype !== dtype || known.shape.join() !== shape.join())) {
      throw new StableDiffusionError('shape-mismatch', `The state's tensor ${name} is ${known.dtype} [${known.shape.join(', ')}] and cannot become ${dtype} [${shape.join(', ')}].`);
    }
  }
}
