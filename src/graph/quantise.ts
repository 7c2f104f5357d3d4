/**
 * Quantising: the layers of a graph that hold nearly all of its work are replaced by layers in 8 bits.
 *
 * The others stay unchanged, because they have little work and cause much error (docs/notes/int8.md): layers on few rows (embeddings of the
 * time); the first and last convolution, on the latent or image itself; 1x1 and strided convolutions, which read the residual stream as it
 * is, with its few large channels, and write to it; narrow layers on products, and small ones on the context.
 */

import { channelsLast } from './channels-last.ts';
import { type Bindings, type Dim, evaluateDim } from './dim.ts';
import { int8Conv2d, int8DirectConv2d, int8Linear, slice, transpose } from './functions.ts';
import type { AnyNode, Graph, NamedValue, Node, Value } from './graph.ts';
import { elementCount } from '../tensor/tensor.ts';
import { applyNode, replay } from './replay.ts';
import { dropUnused } from './simplify.ts';
import { slicesOf } from './sliced-layers.ts';
import type { GraphBuilder, Sym } from './trace.ts';

/** An int8 parameter of the new graph, and the old parameter that it is computed from. */
export interface Int8Part {
  /** The parameter of the old graph: [out, in] or [out, in, kh, kw]. */
  readonly source: string;
  /** Rows start … end - 1 of it. */
  readonly start: number;
  readonly end: number;
  /** Name of the parameter: [in, out], [kh · kw · in, out], or in the order of the old one for direct convolutions. */
  readonly weight: string;
  /** Name of the parameter [out]: what one step of a weight is worth in each output channel. */
  readonly scale: string;
  readonly shape: readonly number[];
}

export interface Quantised {
  readonly graph: Graph;
  readonly parts: readonly Int8Part[];
  /** What became of each layer. */
  readonly layers: readonly LayerReport[];
}

/** Fewer input or output channels than this are not worth it. */
const fewestChannels = 32;
/** Layers on products with fewer output channels than this: rounding row by row would take about as long as it saves. */
const fewestOfProduct = 512;
/** Layers on the context with at most so many weights are little work and memory, and their error is in all positions of the image. */
const mostOnContext = 2 ** 20;

type Layer = Node<'linear'> | Node<'conv2d'>;

/** Why a layer stays in higher precision. */
export type KeptReason =
  | 'few channels'
  | 'on a product'
  | 'on the context'
  | 'few rows'
  | 'strided or grouped convolution'
  | '1x1 convolution'
  | 'named by the caller';

/** A layer with a stored weight, in the order of the graph. */
export interface LayerReport {
  /** Name of the weight. */
  readonly weight: string;
  readonly shape: readonly number[];
  /** Over what activations are rounded: the whole tensor, or each row (token, pixel); undefined for layers in higher precision. */
  readonly range?: 'tensor' | 'row';
  /** Why it stays in higher precision. */
  readonly kept?: KeptReason;
}

interface Known {
  /** Names of parameters by their ids. */
  readonly parameters: ReadonlyMap<number, string>;
  /** Results of multiplications. */
  readonly products: ReadonlySet<number>;
  /** Rows of tokens that a network on images is given. */
  readonly contexts: ReadonlySet<number>;
}

function knownOf({ inputs, parameters, nodes }: Graph): Known {
  const ids = (values: readonly NamedValue[]): number[] => values.map(({ value }) => value.id);
  const ofRank = (rank: number): readonly NamedValue[] => inputs.filter(({ value }) => value.shape.length === rank);
  return {
    parameters: new Map(parameters.map(({ name, value }) => [value.id, name])),
    products: new Set(nodes.filter(({ op }) => op === 'mul').map(({ output }) => output.id)),
    contexts: new Set(ofRank(4).length > 0 ? ids(ofRank(3)) : []),
  };
}

function isLayer(node: AnyNode, { parameters }: Known): node is AnyNode & Layer {
  return (node.op === 'linear' || node.op === 'conv2d') && parameters.has(node.inputs[1]?.id ?? -1);
}

function reasonToKeep({ op, inputs, attributes }: AnyNode & Layer, known: Known): KeptReason | undefined {
  const [x, weight] = inputs;
  if (!weight?.shape.slice(0, 2).every((size) => Number(size) >= fewestChannels)) return 'few channels';
  if (!x || x.shape.length < 3) return 'few rows';
  if (known.products.has(x.id) && (op === 'conv2d' || Number(weight.shape[0]) < fewestOfProduct)) return 'on a product';
  if (known.contexts.has(x.id) && elementCount(weight.shape.map(Number)) <= mostOnContext) return 'on the context';
  if (op !== 'conv2d') return undefined;
  if (attributes.groups !== 1 || attributes.stride !== 1) return 'strided or grouped convolution';
  return weight.shape.slice(2).every((size) => size === 1) ? '1x1 convolution' : undefined;
}

/**
 * Rows are rounded one by one where few of them have large values, which would leave few steps to all others: products (GEGLU), and the
 * context, whose first token has the largest values by far.
 */
const rangeOf = ({ inputs: [x] }: Layer, { products, contexts }: Known): 'tensor' | 'row' =>
  x && (products.has(x.id) || contexts.has(x.id)) ? 'row' : 'tensor';

/** All symbolic sizes as one number, which every factor of networks divides. */
const anySize: Bindings = { get: () => 4096 };

/** True for images larger than every input of the network, as a decoder has them. */
function isEnlarged(height: Dim, graph: Graph): boolean {
  const heights = graph.inputs.flatMap(({ value }) => (value.shape.length === 4 ? [value.shape[2] ?? 1] : []));
  if (typeof height === 'number' || heights.length === 0) return false;
  return heights.every((given) => evaluateDim(height, anySize) > evaluateDim(given, anySize));
}

export interface QuantiseOptions {
  /** Parameters of layers that are not quantised. */
  readonly keep?: (name: string) => boolean;
}

export function quantise(graph: Graph, { keep }: QuantiseOptions = {}): Quantised {
  const known = knownOf(graph);
  const names = known.parameters;
  const readers = new Map<number, AnyNode[]>();
  for (const node of graph.nodes) for (const { id } of node.inputs) readers.set(id, [...(readers.get(id) ?? []), node]);
  const outputs = new Set(graph.outputs.map(({ value }) => value.id));
  const parts = new Map<string, Int8Part>();
  const layers: LayerReport[] = [];
  /** Layers that are replaced slice by slice, by their slices. */
  const sliced = new Map<AnyNode, { readonly layer: Layer; readonly inputs: readonly Sym[] }>();

  const layer = (b: GraphBuilder, node: Layer, inputs: readonly Sym[], start: number, end: number): Sym => {
    const [x, , bias] = inputs as readonly [Sym, Sym, Sym | undefined];
    const weight = node.inputs[1] as Value;
    const direct = node.op === 'conv2d' && isEnlarged(node.output.shape[2] ?? 1, graph);
    const part = partOf(names.get(weight.id) ?? '', weight.shape.map(Number), { start, end, direct });
    parts.set(part.weight, part);
    const stored = b.parameter(part.weight, part.shape, 'int8');
    const scale = b.parameter(part.scale, [end - start], 'float32');
    const whole = end - start === Number(weight.shape[0]);
    const added = bias && !whole ? slice(bias, 0, start, end) : bias;
    const parameters = { weight: stored, scale, bias: added };
    if (node.op !== 'conv2d') return int8Linear(x, parameters, { range: rangeOf(node, known) });
    const [, , kh = 1, kw = 1] = weight.shape.map(Number);
    const { stride, pads } = node.attributes;
    const last = transpose(x, [0, 2, 3, 1]);
    const made = direct
      ? int8DirectConv2d(last, parameters, { pads })
      : int8Conv2d(last, parameters, { kernel: [kh, kw], stride, pads });
    return transpose(made, [0, 3, 1, 2]);
  };

  const replayed = replay(graph, (b, node, inputs) => {
    const from = sliced.get(node);
    if (from) {
      const { start, end } = (node as Node<'slice'>).attributes;
      return layer(b, from.layer, from.inputs, Number(start), Number(end));
    }
    if (!isLayer(node, known)) return applyNode(b, node, inputs);
    const weight = names.get(node.inputs[1]?.id ?? -1) ?? '';
    const kept = keep?.(weight) ? 'named by the caller' : reasonToKeep(node, known);
    const how = kept === undefined ? { range: rangeOf(node, known) } : { kept };
    layers.push({ weight, shape: (node.inputs[1]?.shape ?? []).map(Number), ...how });
    if (kept !== undefined) return applyNode(b, node, inputs);
    const slices = slicesOf(node, readers.get(node.output.id) ?? [], outputs.has(node.output.id));
    for (const part of slices) sliced.set(part as AnyNode, { layer: node, inputs });
    // A layer of which only slices are used is removed with other unneeded nodes.
    if (slices.length > 0) return applyNode(b, node, inputs);
    return layer(b, node, inputs, 0, Number(node.inputs[1]?.shape[0]));
  });
  const quantised = dropUnused(replayed.builder.graph(replayed.outputs));
  return { graph: channelsLast(quantised), parts: [...parts.values()], layers };
}

function partOf(
  source: string,
  shape: readonly number[],
  { start, end, direct }: { readonly start: number; readonly end: number; readonly direct: boolean },
): Int8Part {
  const [out = 0, inner = 0, kh = 1, kw = 1] = shape;
  const rows = start === 0 && end === out ? '' : `[${start}:${end}]`;
  return {
    source,
    start,
    end,
    weight: `${source}${rows} int8`,
    scale: `${source}${rows} scale`,
    shape: direct ? shape : [kh * kw * inner, end - start],
  };
}
