/** OnnxBuilder: collects the nodes, initialisers and constants of one ONNX model. It is independent of graphs. */

import { convert } from '../tensor/convert.ts';
import type { DType } from '../tensor/dtype.ts';
import { float32, int64, type Tensor } from '../tensor/tensor.ts';
import type { OnnxAttribute, OnnxInitializer, OnnxNode } from './model.ts';

/** The domain of operations on images in blocks of channels. */
export const nchwcDomain = 'com.microsoft.nchwc';

/** The domain of ONNX Runtime's further operations. */
export const microsoftDomain = 'com.microsoft';

export interface NodeOptions {
  readonly domain?: string;
  /** Name of the output; a new one by default. */
  readonly output?: string;
}

export type OnnxAttributes = Readonly<Record<string, OnnxAttribute>>;

export class OnnxBuilder {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  /** Prefix of node names: the module being emitted. */
  scope = '';
  #float: 'float32' | 'float16';
  readonly #shared = new Map<string, string>();
  #counter = 0;

  constructor(float: 'float32' | 'float16') {
    this.#float = float;
  }

  /** The element type that float32 of the graph has in the model, at this point. */
  get float(): 'float32' | 'float16' {
    return this.#float;
  }

  /** The element type a value of the graph has in the model, at this point. */
  dtype(value: { readonly dtype: DType }): DType {
    return value.dtype === 'float32' ? this.#float : value.dtype;
  }

  /** Emits `body` in float32 within a float16 model. */
  inFloat32(body: () => void): void {
    const outer = this.#float;
    this.#float = 'float32';
    body();
    this.#float = outer;
  }

  /** The name that `make` returned when this key was first used. */
  once(key: string, make: () => string): string {
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.#shared.set(key, name);
    return name;
  }

  /** Adds a node with one output and returns the output's name. */
  node(op: string, inputs: readonly string[], attributes: OnnxAttributes = {}, options: NodeOptions = {}): string {
    const output = options.output ?? `t${this.#counter++}`;
    this.nodes.push({
      op,
      domain: options.domain ?? '',
      name: `${this.scope}/${op}_${this.nodes.length}`,
      inputs,
      outputs: [output],
      attributes,
    });
    return output;
  }

  /** Adds a node with several outputs and returns their names. */
  nodeOf<const N extends readonly string[]>(op: string, inputs: readonly string[], outputs: N): N {
    const name = `${this.scope}/${op}_${this.nodes.length}`;
    this.nodes.push({ op, domain: '', name, inputs, outputs, attributes: {} });
    return outputs;
  }

  /** A constant as an initialiser; small equal ones are shared. */
  constant(value: Tensor): string {
    const add = (): string => {
      const name = `c${this.#counter++}`;
      const data = value.dtype === 'float32' ? convert(value, this.#float) : value;
      this.initializers.push({ name, dtype: data.dtype, shape: value.shape, data });
      return name;
    };
    if (value.data.length > 16) return add();
    return this.once(`constant ${this.dtype(value)} ${value.shape.join()}: ${value.data.join()}`, add);
  }

  /** Whole numbers as an int64 vector. */
  integers(values: readonly number[]): string {
    return this.constant(int64([values.length], values));
  }

  /** A number of the model's float type, as a scalar. */
  scalar(value: number): string {
    return this.constant(float32([], [value]));
  }
}
