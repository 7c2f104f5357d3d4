/** Preparation of a run, for both engines: checks the inputs against the graph and converts them to the declared element types. */

import { StableDiffusionError } from '../errors.ts';
import { bindShape, evaluateShape } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import { convert } from '../tensor/convert.ts';
import { elementCount, type Shape, type Tensor } from '../tensor/tensor.ts';
import type { CompileOptions, EngineState, StateBinding, StatePart, Tensors } from './engine.ts';

/** Maximum number of elements of a tensor: above it, sizes overflow the runtime's 32-bit byte counts. */
const largestTensor = 2 ** 30;

/**
 * The inputs as the program takes them. Checks names, shapes and the sizes of everything the graph would make of them, before any memory is spent.
 * @throws `shape-mismatch`, `too-large`
 */
export function prepareFeeds(
  graph: Graph,
  inputs: Tensors,
  parameters: CompileOptions['parameters'],
  bound?: { readonly state: EngineState; readonly names: StateBinding['inputs'] },
): Record<string, Tensor> {
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
    if (!given)
      throw new StableDiffusionError(
        'shape-mismatch',
        `Input ${name} is missing; the program takes ${wanted.map((input) => input.name).join(', ')}.`,
      );
    bindShape(name, value.shape, given.shape, bindings);
    feeds[name] = convert(given, value.dtype);
  }
  checkSizes(graph, bindings);
  return feeds;
}

/** The sizes a graph was last found to be possible for: most runs are of the same. */
const lastPossible = new WeakMap<Graph, string>();

/** Throws `too-large` where a graph would make a tensor that is larger than is possible. All of its symbols are bound. */
export function checkSizes(graph: Graph, bindings: ReadonlyMap<string, number>): void {
  const sizes = [...bindings].join(' ');
  if (lastPossible.get(graph) === sizes) return;
  for (const node of graph.nodes) {
    const count = elementCount(evaluateShape(node.output.shape, bindings));
    if (count > largestTensor) {
      throw new StableDiffusionError(
        'too-large',
        `These sizes need a tensor of ${count} elements${node.scope ? ` in ${node.scope}` : ''} (at most ${largestTensor} are possible). Use a smaller image or batch.`,
      );
    }
  }
  lastPossible.set(graph, sizes);
}

/** The parameters that are inputs of the program. */
export function givenParameters(graph: Graph, parameters: CompileOptions['parameters']): ReadonlySet<string> {
  if (parameters === 'inputs') return new Set(graph.parameters.map(({ name }) => name));
  return typeof parameters === 'object' ? parameters.inputs : new Set();
}

/** A place in a state as the runtime uses it: the tensor, and where it is taken flat, which elements. */
export interface StatePlace {
  readonly name: string;
  readonly flat?: { readonly start: number; readonly end: number };
}

/** Location of a bound input or output. If the program declares one dimension, tensors of other shapes are passed flat. */
export function statePlaceOf(state: EngineState, bound: string | StatePart, rank: number): StatePlace {
  const name = typeof bound === 'string' ? bound : bound.name;
  const entry = state.entries.get(name);
  if (!entry) throw new StableDiffusionError('shape-mismatch', `The state has no tensor ${name}.`);
  const count = elementCount(entry.shape);
  if (typeof bound === 'string')
    return rank === 1 && entry.shape.length !== 1 ? { name, flat: { start: 0, end: count } } : { name };
  const { start, end } = bound;
  if (!(start >= 0 && start < end && end <= count))
    throw new StableDiffusionError(
      'shape-mismatch',
      `The state's tensor ${name} has ${count} elements; ${start} to ${end} are not among them.`,
    );
  return { name, flat: { start, end } };
}

/** The shape in which a tensor of a state is passed to a program. */
function boundShape(
  state: EngineState,
  bound: string | StatePart,
  declared: { readonly dtype: string; readonly shape: readonly unknown[] },
): Shape {
  const { name, flat } = statePlaceOf(state, bound, declared.shape.length);
  const entry = state.entries.get(name);
  if (entry?.dtype !== declared.dtype)
    throw new StableDiffusionError(
      'shape-mismatch',
      `The state's tensor ${name} is ${entry?.dtype}, and ${declared.dtype} was expected.`,
    );
  return flat ? [flat.end - flat.start] : entry.shape;
}

/** Checks the outputs that stay in a state, and returns the names of the outputs to return. */
export function unboundOutputs(graph: Graph, state: EngineState, bound: StateBinding['outputs'] = {}): string[] {
  const known = wantedOutputs(graph, undefined);
  const all = new Set(known);
  for (const [output, place] of Object.entries(bound)) {
    const name = typeof place === 'string' ? place : place.name;
    if (!all.has(output))
      throw new StableDiffusionError(
        'invalid-argument',
        `The program has no output ${output} to keep; it has ${known.join(', ')}.`,
      );
    if (!state.entries.has(name))
      throw new StableDiffusionError('invalid-argument', `The state has no tensor ${name} for the output ${output}.`);
  }
  return known.filter((output) => !(output in bound));
}

/** Names of the outputs a run returns. */
export function wantedOutputs(graph: Graph, outputs: readonly string[] | undefined): string[] {
  const known = graph.outputs.map(({ name }) => name);
  for (const name of outputs ?? []) {
    if (!known.includes(name))
      throw new StableDiffusionError(
        'invalid-argument',
        `The program has no output ${name}; it has ${known.join(', ')}.`,
      );
  }
  return outputs ? [...outputs] : known;
}

/** Throws `shape-mismatch` where a tensor of a state would change its type or shape. */
export function checkStateWrite(entries: EngineState['entries'], tensors: Tensors): void {
  for (const [name, { dtype, shape }] of Object.entries(tensors)) {
    const known = entries.get(name);
    if (known && (known.dtype !== dtype || known.shape.join() !== shape.join())) {
      throw new StableDiffusionError(
        'shape-mismatch',
        `The state's tensor ${name} is ${known.dtype} [${known.shape.join(', ')}] and cannot become ${dtype} [${shape.join(', ')}].`,
      );
    }
  }
}

/** Elements between the beginnings of two members of a pack: whole cache lines. */
const packUnit = 16;

/** Offsets of members of these shapes in a pack, and its length. */
export function packPlaces(members: Readonly<Record<string, Shape>>): {
  readonly starts: ReadonlyMap<string, number>;
  readonly length: number;
} {
  const starts = new Map<string, number>();
  let length = 0;
  for (const [name, shape] of Object.entries(members)) {
    starts.set(name, length);
    length += Math.ceil(elementCount(shape) / packUnit) * packUnit;
  }
  return { starts, length };
}

/** Offsets of the members of a new pack, and its length. Throws `invalid-argument` for names that cannot be packed. */
export function planPack(
  entries: EngineState['entries'],
  packed: ReadonlySet<string>,
  pack: string,
  members: Readonly<Record<string, Shape>>,
): { readonly starts: ReadonlyMap<string, number>; readonly length: number } {
  if (entries.has(pack)) throw new StableDiffusionError('invalid-argument', `The state has a tensor ${pack} already.`);
  for (const [name, shape] of Object.entries(members)) {
    if (packed.has(name))
      throw new StableDiffusionError('invalid-argument', `The state's tensor ${name} lies in another pack.`);
    const known = entries.get(name);
    if (known && (known.dtype !== 'float32' || known.shape.join() !== shape.join())) {
      throw new StableDiffusionError(
        'shape-mismatch',
        `The state's tensor ${name} is ${known.dtype} [${known.shape.join(', ')}], not float32 [${shape.join(', ')}].`,
      );
    }
  }
  return packPlaces(members);
}
