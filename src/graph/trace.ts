/**
 * Tracing: runs a network function with symbolic tensors and records the graph.
 *
 * A `Sym` is a value of the graph being built. `Params` gives scoped access to parameters: asking for one declares it.
 */

import { StableDiffusionError } from '../errors.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import { type Dim, dimText } from './dim.ts';
import type { AnyNode, Constant, Graph, NamedValue, Node, Value } from './graph.ts';
import { type Attributes, type OpName, operations } from './operations.ts';

/** A symbolic tensor: what network functions calculate with. */
export interface Sym extends Value {
  readonly builder: GraphBuilder;
}

/** A place where elements are left out in training: its mask is an input of the graph of this name. */
export interface DropoutSite {
  readonly name: string;
  readonly shape: readonly Dim[];
  /** Probability that an element is left out. */
  readonly rate: number;
}

/** Collects nodes. The same operation on the same values with the same attributes is recorded once. */
export class GraphBuilder {
  readonly nodes: AnyNode[] = [];
  readonly constants: Constant[] = [];
  readonly parameters: NamedValue[] = [];
  readonly inputs: NamedValue[] = [];
  /** Outputs of modules, by the module's path. */
  readonly marks = new Map<string, Sym>();
  /** The module nodes are being made in. */
  scope = '';
  /** Called for every dropout of a graph for training; undefined elsewhere, where dropout does nothing. */
  onDropout: ((site: DropoutSite) => void) | undefined;
  readonly #known = new Map<string, Sym>();
  #nextId = 0;

  #value(dtype: DType, shape: readonly Dim[]): Sym {
    return { id: this.#nextId++, dtype, shape, builder: this };
  }

  input(name: string, dtype: DType, shape: readonly Dim[]): Sym {
    const value = this.#value(dtype, shape);
    this.inputs.push({ name, value });
    return value;
  }

  parameter(name: string, shape: Shape, dtype: DType): Sym {
    const key = `parameter ${name}`;
    const known = this.#known.get(key);
    if (known) {
      if (known.shape.join() !== shape.join()) {
        throw new StableDiffusionError(
          'shape-mismatch',
          `Parameter ${name} is declared with two shapes: [${known.shape.join(', ')}] and [${shape.join(', ')}].`,
        );
      }
      return known;
    }
    const value = this.#value(dtype, shape);
    this.parameters.push({ name, value });
    this.#known.set(key, value);
    return value;
  }

  constant(tensor: Tensor): Sym {
    const key =
      tensor.data.length <= 16
        ? `constant ${tensor.dtype} ${tensor.shape.join()} ${Array.from<number | bigint, string>(tensor.data, (x) => (Object.is(x, -0) ? '-0' : String(x))).join()}`
        : undefined;
    const known = key === undefined ? undefined : this.#known.get(key);
    if (known) return known;
    const value = this.#value(tensor.dtype, tensor.shape);
    this.constants.push({ value, tensor });
    if (key !== undefined) this.#known.set(key, value);
    return value;
  }

  apply<K extends OpName>(op: K, inputs: readonly Sym[], attributes: Attributes[K]): Sym {
    const key = `${op} ${inputs.map((value) => value.id).join()} ${attributesText(attributes)}`;
    const known = this.#known.get(key);
    if (known) return known;
    let type: { readonly dtype: DType; readonly shape: readonly Dim[] };
    try {
      type = operations[op].infer(inputs, attributes);
    } catch (error) {
      if (error instanceof StableDiffusionError && this.scope)
        throw new StableDiffusionError(error.code, `In ${this.scope}: ${error.message}`, { cause: error });
      throw error;
    }
    const output = this.#value(type.dtype, type.shape);
    // A copy: the caller's list may grow afterwards.
    const node: Node<K> = { op, inputs: [...inputs], attributes, output, scope: this.scope };
    this.nodes.push(node as Node as AnyNode);
    this.#known.set(key, output);
    return output;
  }

  graph(outputs: readonly NamedValue[]): Graph {
    return { inputs: this.inputs, parameters: this.parameters, constants: this.constants, nodes: this.nodes, outputs };
  }
}

/** Attributes as a canonical text, dimensions included. */
export function attributesText(attributes: object): string {
  const text = (value: unknown): string => {
    if (Array.isArray(value)) return `[${value.map(text).join(', ')}]`;
    if (typeof value === 'object' && value !== null && 'terms' in value) return dimText(value as Dim);
    return String(value);
  };
  return Object.entries(attributes)
    .map(([name, value]) => `${name}=${text(value)}`)
    .join(' ');
}

/** Scoped access to a network's parameters, under the names of the CompVis checkpoints. */
export class Params {
  /** The module's path inside the network, as taps name it. */
  readonly path: string;
  /** Prefix of the network's parameters in a checkpoint, e.g. `first_stage_model`; part of parameter names but not of module paths. */
  readonly prefix: string;
  readonly builder: GraphBuilder;

  constructor(builder: GraphBuilder, path = '', prefix = '') {
    this.builder = builder;
    this.path = path;
    this.prefix = prefix;
  }

  /** The scope of a child module: `p.at('input_blocks.1.0')`. */
  at(name: string | number): Params {
    return new Params(this.builder, join(this.path, String(name)), this.prefix);
  }

  /** A nested network: its parameters are under `name`, and its module paths start over. */
  under(name: string): Params {
    return new Params(this.builder, '', join(this.prefix, join(this.path, name)));
  }

  /** Declares and returns a parameter of this module. */
  get(name: string, shape: Shape, dtype: DType = 'float32'): Sym {
    return this.builder.parameter(join(this.prefix, join(this.path, name)), shape, dtype);
  }

  /** Runs a module's body under its scope and marks its output with the module's path, so that it can be tapped. */
  module(body: () => Sym): Sym {
    const outer = this.builder.scope;
    this.builder.scope = this.path;
    try {
      return this.mark(body());
    } finally {
      this.builder.scope = outer;
    }
  }

  /** Makes `value` what a tap of this module gives. */
  mark(value: Sym): Sym {
    this.builder.marks.set(this.path, value);
    return value;
  }
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name;
}

export interface InputSpec {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export interface TraceOptions {
  /** Module paths whose outputs become outputs `intermediate.PATH`, or 'all'. */
  readonly taps?: readonly string[] | 'all';
  /** Put in front of every parameter's name, with a dot: where the network lies in a checkpoint. */
  readonly prefix?: string;
  /** Traces for training: dropout takes effect, and each is reported here. Default: dropout does nothing. */
  readonly onDropout?: ((site: DropoutSite) => void) | undefined;
}

/**
 * Traces `network` on inputs of the given types.
 *
 * @example trace({ x: { dtype: 'float32', shape: [dim('batch'), 4] } }, ({ x }, p) => ({ out: linear(x, p.get('weight', [8, 4])) }))
 */
export function trace<I extends string>(
  inputs: Readonly<Record<I, InputSpec>>,
  network: (inputs: Readonly<Record<I, Sym>>, params: Params) => Readonly<Record<string, Sym>>,
  options: TraceOptions = {},
): Graph {
  const builder = new GraphBuilder();
  builder.onDropout = options.onDropout;
  const symbols = {} as Record<I, Sym>;
  for (const name of Object.keys(inputs) as I[])
    symbols[name] = builder.input(name, inputs[name].dtype, inputs[name].shape);
  const results = network(symbols, new Params(builder, '', options.prefix));
  const outputs: NamedValue[] = Object.entries(results).map(([name, value]) => ({ name, value }));
  const taps = options.taps === 'all' ? [...builder.marks.keys()] : (options.taps ?? []);
  for (const path of taps) {
    const value = builder.marks.get(path);
    if (!value)
      throw new StableDiffusionError(
        'invalid-argument',
        `The network has no module ${path} to tap; it has ${[...builder.marks.keys()].join(', ')}.`,
      );
    outputs.push({ name: `intermediate.${path}`, value });
  }
  return builder.graph(outputs);
}
