/** The messages of an ONNX model file, as far as they are used. Source: onnx.proto3 of the ONNX project, IR version 10. */

import type { DType } from '../tensor/dtype.ts';
import { bytesOf, type Tensor } from '../tensor/tensor.ts';
import { ProtoWriter } from '../formats/protobuf.ts';

/** TensorProto.DataType */
const dataTypes: { readonly [D in DType]: number } = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  float8_e4m3fn: 17,
  float8_e5m2: 19,
};

export type OnnxAttribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly floats: readonly number[] };

export interface OnnxNode {
  readonly op: string;
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Whole numbers are INT attributes; `{ float }` makes a FLOAT one. */
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** A named value with its type; dimensions that are not numbers are names. Instead of a tensor, it may be a sequence of tensors. */
export interface OnnxValue {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | string)[] | 'sequence';
}

/** An initialiser whose bytes lie outside the model. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export interface OnnxInitializer {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Tensor | ExternalData;
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly initializers: readonly OnnxInitializer[];
}

const opset = 20;
const irVersion = 10;

function attribute(name: string, value: OnnxAttribute): ProtoWriter {
  const message = new ProtoWriter().string(1, name);
  if (typeof value === 'number') return message.int(3, value).int(20, 2);
  if (typeof value === 'string') return message.string(4, value).int(20, 3);
  if ('float' in value) return message.float(2, value.float).int(20, 1);
  if ('floats' in value) {
    for (const item of value.floats) message.float(7, item);
    return message.int(20, 6);
  }
  for (const item of value) message.int(8, item);
  return message.int(20, 7);
}

function node({ op, domain, name, inputs, outputs, attributes }: OnnxNode): ProtoWriter {
  const message = new ProtoWriter();
  for (const input of inputs) message.string(1, input);
  for (const output of outputs) message.string(2, output);
  message.string(3, name).string(4, op);
  for (const [key, value] of Object.entries(attributes)) message.message(5, attribute(key, value));
  if (domain) message.string(7, domain);
  return message;
}

function valueInfo({ name, dtype, shape }: OnnxValue): ProtoWriter {
  if (shape === 'sequence') {
    const element = new ProtoWriter().message(1, new ProtoWriter().int(1, dataTypes[dtype]));
    return new ProtoWriter()
      .string(1, name)
      .message(2, new ProtoWriter().message(4, new ProtoWriter().message(1, element)));
  }
  const dims = new ProtoWriter();
  for (const size of shape)
    dims.message(1, typeof size === 'number' ? new ProtoWriter().int(1, size) : new ProtoWriter().string(2, size));
  const tensorType = new ProtoWriter().int(1, dataTypes[dtype]).message(2, dims);
  return new ProtoWriter().string(1, name).message(2, new ProtoWriter().message(1, tensorType));
}

function initializer({ name, dtype, shape, data }: OnnxInitializer): ProtoWriter {
  const message = new ProtoWriter();
  for (const size of shape) message.int(1, size);
  message.int(2, dataTypes[dtype]).string(8, name);
  if (!('location' in data)) return message.bytes(9, bytesOf(data));
  for (const [key, value] of Object.entries(data))
    message.message(13, new ProtoWriter().string(1, key).string(2, String(value)));
  return message.int(14, 1);
}

/** The bytes of a ModelProto. */
export function encodeModel(graph: OnnxGraph): Uint8Array {
  const body = new ProtoWriter();
  for (const item of graph.nodes) body.message(1, node(item));
  body.string(2, graph.name);
  for (const item of graph.initializers) body.message(5, initializer(item));
  for (const item of graph.inputs) body.message(11, valueInfo(item));
  for (const item of graph.outputs) body.message(12, valueInfo(item));
  const model = new ProtoWriter().int(1, irVersion).string(2, 'stable-diffusion-ts').message(7, body);
  model.message(8, new ProtoWriter().string(1, '').int(2, opset));
  model.message(8, new ProtoWriter().string(1, 'com.microsoft').int(2, 1));
  if (graph.nodes.some(({ domain }) => domain === 'com.microsoft.nchwc'))
    model.message(8, new ProtoWriter().string(1, 'com.microsoft.nchwc').int(2, 1));
  return model.finish();
}
