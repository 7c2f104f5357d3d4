/** Graph → ONNX model. */

import { dimText } from '../graph/dim.ts';
import type { AnyNode, Graph, Value } from '../graph/graph.ts';
import type { OpName } from '../graph/operations.ts';
import type { DType } from '../tensor/dtype.ts';
import { Emitter, type ParameterStorage } from './emitter.ts';
import { type Form, forms } from './forms.ts';
import { emitBlocked } from './blocked-images.ts';
import { endMarkNode, endMarkOutput } from './end-mark.ts';
import { headWidth, plainAttention } from './plain-attention.ts';
import { encodeModel, type OnnxValue } from './model.ts';
import { emitLinearPart, linearParts } from './linear-parts.ts';

export interface EmitOptions {
  /** Element type the graph's float32 values have in the model. Inputs and outputs stay float32. */
  readonly compute?: 'float32' | 'float16';
  /** Where parameters lie. Without it they are inputs of the model, after the graph's own. */
  readonly parameters?: ParameterStorage;
  /** Names of parameters that are inputs of the model although others are not. */
  readonly given?: ReadonlySet<string>;
  /** Attention of one head wider than this is written as products and a softmax: ONNX Runtime's own kernel counts its work in 32 bits on WASM. */
  readonly widestFusedHead?: number;
  /** False: all attention is written as products and a softmax, for devices on which ONNX Runtime's kernel is wrong. Default true. */
  readonly fusedAttention?: boolean;
  /** Channels of a pixel that the runtime's direct convolutions keep together on this processor: convolutions with given weights make use of them. */
  readonly imageBlock?: number;
  /** Parameters of another element type than the model's are kept so, and converted in each run; otherwise once, when the model is loaded. */
  readonly convertInRuns?: boolean;
  /** Whether runs may ask for the end mark, because all their outputs are written where the caller wants them. */
  readonly endMark?: boolean;
}

/** Operations that lose too much in float16 (sums over many elements, exponentials): computed in float32 between casts. */
const float32Islands: ReadonlySet<OpName> = new Set([
  'groupNorm',
  'layerNorm',
  'softmax',
  'sum',
  'mean',
  'exp',
  'log',
  'sin',
  'cos',
  'pow',
  'attention',
]);

const castTo = { float32: 1, float16: 10 } as const;

/** Emits a graph as the bytes of an ONNX model. */
export function emitOnnx(graph: Graph, options: EmitOptions = {}): Uint8Array {
  const compute = options.compute ?? 'float32';
  const half = compute === 'float16';
  const isGiven = (name: string): boolean => !options.parameters || (options.given?.has(name) ?? false);
  const stored = graph.parameters.filter(({ name }) => !isGiven(name));
  const emitter = new Emitter(
    { ...graph, parameters: stored },
    compute,
    options.parameters,
    half ? undefined : options.imageBlock,
  );
  const inputs: OnnxValue[] = [];
  const onnxShape = (value: Value): (number | string)[] =>
    value.shape.map((size) => (typeof size === 'number' ? size : dimText(size)));
  const declare = (name: string, value: Value, dtype: DType): OnnxValue => ({ name, dtype, shape: onnxShape(value) });

  for (const { name, value } of graph.inputs) {
    inputs.push(declare(name, value, value.dtype));
    emitter.rename(value, name);
    if (half && value.dtype === 'float32') emitter.rename(value, emitter.node('Cast', [name], { to: castTo.float16 }));
  }
  for (const { name, value } of graph.parameters) {
    if (!isGiven(name)) continue;
    inputs.push(declare(name, value, emitter.dtype(value)));
    emitter.rename(value, name);
  }
  for (const { value, tensor } of graph.constants) emitter.rename(value, emitter.constant(tensor));

  // An output that is a node's result gets its name there; one that is a leaf, or asked for twice, is copied.
  const made = new Set(graph.nodes.map((node) => node.output.id));
  const named = new Set<number>();
  const copies: [string, Value][] = [];
  for (const { name, value } of graph.outputs) {
    if (!half && made.has(value.id) && !named.has(value.id)) {
      named.add(value.id);
      emitter.rename(value, name);
    } else copies.push([name, value]);
  }

  const parts = linearParts(graph, (value) => emitter.isParameter(value));
  for (const node of graph.nodes) {
    if (parts.replaced.has(node)) continue;
    emitter.scope = node.scope;
    if (emitBlocked(emitter, node, (output) => emitNode(emitter, node, output, options))) {
      if (named.has(node.output.id) && emitter.isBlocked(node.output))
        emitter.order(node.output, emitter.name(node.output));
      continue;
    }
    const output = emitter.name(node.output);
    const part = parts.slices.get(node);
    if (part) emitLinearPart(emitter, part, node.output, { output });
    else if (half && float32Islands.has(node.op))
      emitter.island(node.inputs, output, (inner) => emitNode(emitter, node, inner, options));
    else emitNode(emitter, node, output, options);
  }
  for (const [name, value] of copies) {
    if (half && value.dtype === 'float32')
      emitter.node('Cast', [emitter.name(value)], { to: castTo.float32 }, { output: name });
    else emitter.node('Identity', [emitter.name(value)], {}, { output: name });
  }
  // An initialiser that is an input too has a value that runs may replace: nothing is worked out from it beforehand.
  if (options.convertInRuns)
    inputs.push(...emitter.converted.map(({ name, dtype, shape }) => ({ name, dtype, shape })));
  const outputs = graph.outputs.map(({ name, value }) => declare(name, value, value.dtype));
  const mark = options.endMark ?? false;
  return encodeModel({
    name: 'graph',
    nodes: [...(mark ? [endMarkNode] : []), ...emitter.nodes],
    inputs,
    outputs: [...(mark ? [endMarkOutput] : []), ...outputs],
    initializers: emitter.initializers,
  });
}

function emitNode(
  emitter: Emitter,
  node: AnyNode,
  output: string,
  { widestFusedHead = Number.POSITIVE_INFINITY, fusedAttention = true }: EmitOptions,
): void {
  if (
    node.op === 'attention' &&
    (!fusedAttention || (node.attributes.heads === 1 && headWidth(node) > widestFusedHead))
  ) {
    plainAttention(emitter, node.inputs, node.attributes, node.output, { output });
    return;
  }
  const form = forms[node.op] as Form<OpName>;
  form(emitter, node.inputs, node.attributes as never, node.output, { output });
}
