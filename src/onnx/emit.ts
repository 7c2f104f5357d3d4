/** Graph → ONNX model. */

import { dimText } from '../graph/dim.ts';
import type { Graph, Value } from '../graph/graph.ts';
import type { DType } from '../tensor/dtype.ts';
import type { EmitOptions, Emitter } from './emitter.ts';
import { endMarkNode, endMarkOutput } from './end-mark.ts';
import { firstOf } from './lowering.ts';
import { lowerings } from './lowerings.ts';
import { encodeModel, type OnnxValue } from './model.ts';
import { OnnxBuilder } from './onnx-builder.ts';
import { Shapes } from './shapes.ts';
import { StoredParameters } from './stored-parameters.ts';
import { Values } from './values.ts';

const castTo = { float32: 1, float16: 10 } as const;

/** Emits a graph as the bytes of an ONNX model. */
export function emitOnnx(graph: Graph, options: EmitOptions = {}): Uint8Array {
  const { compute = 'float32', given, imageBlock, endMark = false } = options;
  const half = compute === 'float16';
  const isGiven = (name: string): boolean => !options.parameters || (given?.has(name) ?? false);
  const onnx = new OnnxBuilder(compute);
  const stored = graph.parameters.filter(({ name }) => !isGiven(name));
  const parameters = new StoredParameters(onnx, stored, options.parameters);
  const values = new Values(onnx, parameters);
  const shapes = new Shapes(onnx, values, graph.inputs);
  const e: Emitter = {
    graph,
    options: { ...options, imageBlock: half ? undefined : imageBlock },
    onnx,
    values,
    shapes,
    parameters,
  };

  const inputs = declareInputs(
    e,
    graph.parameters.filter(({ name }) => isGiven(name)),
  );
  for (const { value, tensor } of graph.constants) values.rename(value, onnx.constant(tensor));
  const copies = nameOutputs(e);
  const lower = firstOf(e, lowerings);
  for (const node of graph.nodes) {
    onnx.scope = node.scope;
    lower(node, () => values.name(node.output));
  }
  for (const [name, value] of copies) {
    if (half && value.dtype === 'float32')
      onnx.node('Cast', [values.name(value)], { to: castTo.float32 }, { output: name });
    else onnx.node('Identity', [values.name(value)], {}, { output: name });
  }
  // An initialiser that is an input too has a value that runs may replace: nothing is calculated from it beforehand.
  if (options.convertInRuns)
    inputs.push(...parameters.converted.map(({ name, dtype, shape }) => ({ name, dtype, shape })));
  const outputs = graph.outputs.map(({ name, value }) => declare(name, value, value.dtype));
  return encodeModel({
    name: 'graph',
    nodes: [...(endMark ? [endMarkNode] : []), ...onnx.nodes],
    inputs,
    outputs: [...(endMark ? [endMarkOutput] : []), ...outputs],
    initializers: onnx.initializers,
  });
}

function declare(name: string, value: Value, dtype: DType): OnnxValue {
  return { name, dtype, shape: value.shape.map((size) => (typeof size === 'number' ? size : dimText(size))) };
}

/** The model's inputs: the graph's, then the parameters that are given at each run. */
function declareInputs({ graph, onnx, values }: Emitter, given: Graph['parameters']): OnnxValue[] {
  for (const { name, value } of graph.inputs) {
    const cast = onnx.float === 'float16' && value.dtype === 'float32';
    // The cast reads the input by its name.
    values.rename(value, cast ? onnx.node('Cast', [name], { to: castTo.float16 }) : name);
  }
  for (const { name, value } of given) values.rename(value, name);
  return [
    ...graph.inputs.map(({ name, value }) => declare(name, value, value.dtype)),
    ...given.map(({ name, value }) => declare(name, value, onnx.dtype(value))),
  ];
}

/** Gives an output that is a node's result its name there, and returns the others, which are copied: leaves, and results with two names. */
function nameOutputs({ graph, onnx, values }: Emitter): readonly (readonly [name: string, value: Value])[] {
  const made = new Set(graph.nodes.map((node) => node.output.id));
  const named = new Set<number>();
  const copies: [string, Value][] = [];
  for (const { name, value } of graph.outputs) {
    if (onnx.float === 'float32' && made.has(value.id) && !named.has(value.id)) {
      named.add(value.id);
      values.rename(value, name);
    } else copies.push([name, value]);
  }
  return copies;
}
