/** Emitter: collects the ONNX nodes and initialisers of one graph. The forms of the operations are written against it. */

import { StableDiffusionError } from '../errors.ts';
import { type Dim, type DimAtom, dimTerms, dimText } from '../graph/dim.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { convert } from '../tensor/convert.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { elementCount, float32, int64, type Tensor } from '../tensor/tensor.ts';
import type { ExternalData, OnnxAttribute, OnnxInitializer, OnnxNode } from './model.ts';

/** Where a parameter's bytes lie, and of which element type they are there if not of the model's: then the runtime converts them. */
export interface StoredParameter extends ExternalData {
  readonly dtype?: DType;
}

export type ParameterStorage = (name: string) => StoredParameter;

/** TensorProto.DataType of the element types that parameters are converted between. */
const castCodes: Partial<Record<DType, number>> = { float32: 1, float16: 10 };

/** The domain of operations on images in blocks of channels. */
export const nchwcDomain = 'com.microsoft.nchwc';

export interface NodeOptions {
  readonly domain?: string;
  /** Name of the output; a fresh one by default. */
  readonly output?: string;
}

export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  /** Those of them that are of another element type than the model's and are converted to it. */
  readonly converted: OnnxInitializer[] = [];
  #float: 'float32' | 'float16';
  #inIsland = false;
  readonly #graph: Graph;
  readonly #storage: ParameterStorage | undefined;
  readonly #parameters: ReadonlyMap<number, string>;
  readonly #names = new Map<number, string>();
  readonly #blocked = new Map<number, string>();
  /** Channels of a pixel that the runtime's direct convolutions keep together, where they are to be used. */
  readonly imageBlock: number | undefined;
  readonly #shared = new Map<string, string>();
  #counter = 0;
  /** Prefix of node names: the module being emitted. */
  scope = '';

  /** Without `storage`, parameters are inputs of the model rather than initialisers. */
  constructor(graph: Graph, float: 'float32' | 'float16', storage?: ParameterStorage, imageBlock?: number) {
    this.#graph = graph;
    this.imageBlock = imageBlock;
    this.#float = float;
    this.#storage = storage;
    this.#parameters = new Map(graph.parameters.map(({ name, value }) => [value.id, name]));
  }

  /** What float32 of the graph is in the model, at this point. */
  get float(): 'float32' | 'float16' {
    return this.#float;
  }

  /**
   * Emits `body` in float32 within a float16 model: `values` are cast up before, and the name `body` returns is cast down to `output`.
   */
  island(values: readonly Value[], output: string, body: (output: string) => void): void {
    const before = values.map((value) => ({ value, name: this.name(value) }));
    for (const { value, name } of before) {
      if (value.dtype === 'float32')
        this.#names.set(
          value.id,
          this.#once(`float32 ${name}`, () => this.node('Cast', [name], { to: 1 })),
        );
    }
    const inner = `${output}_float32`;
    this.#float = 'float32';
    this.#inIsland = true;
    body(inner);
    this.#float = 'float16';
    this.#inIsland = false;
    for (const { value, name } of before) this.#names.set(value.id, name);
    this.node('Cast', [inner], { to: 10 }, { output });
  }

  /** The element type a value of the graph has in the model. */
  dtype(value: { readonly dtype: DType }): DType {
    return value.dtype === 'float32' ? this.#float : value.dtype;
  }

  rename(value: Value, name: string): void {
    this.#names.set(value.id, name);
  }

  /** The model's name of a graph value; a parameter becomes an initialiser when first asked for. */
  name(value: Value): string {
    const known = this.#names.get(value.id);
    if (known !== undefined) return known;
    const name = this.#parameters.has(value.id)
      ? this.parameter(value, value.shape as readonly number[])
      : `v${value.id}`;
    if (this.#blocked.has(value.id)) this.order(value, name);
    this.#names.set(value.id, name);
    return name;
  }

  /** Whether a value is there in the order of its axes. */
  isOrdered(value: Value): boolean {
    return this.#names.has(value.id) || this.#parameters.has(value.id);
  }

  /** Whether an image is there in blocks of channels. */
  isBlocked(value: Value): boolean {
    return this.#blocked.has(value.id);
  }

  /** The name of an image in blocks of channels. */
  blocked(value: Value): string {
    const known = this.#blocked.get(value.id);
    if (known !== undefined) return known;
    const name = this.node(
      'ReorderInput',
      [this.name(value)],
      {},
      { domain: nchwcDomain, output: this.blockedName(value) },
    );
    return name;
  }

  /** The name that an image in blocks of channels gets, which is about to be made. */
  blockedName(value: Value): string {
    const name = `b${value.id}`;
    this.#blocked.set(value.id, name);
    return name;
  }

  /** Makes `output` of an image that is there in blocks. */
  order(value: Value, output: string): void {
    this.node(
      'ReorderOutput',
      [this.blocked(value)],
      { channels: Number(value.shape[1]) },
      { domain: nchwcDomain, output },
    );
  }

  /** Emits `body` with images in blocks in the place of the images themselves. */
  inBlocks(images: readonly Value[], body: () => void): void {
    const before = images.map((value) => [value.id, this.blocked(value), this.#names.get(value.id)] as const);
    for (const [id, name] of before) this.#names.set(id, name);
    body();
    for (const [id, , name] of before) {
      if (name === undefined) this.#names.delete(id);
      else this.#names.set(id, name);
    }
  }

  /** Whether a value is known only when the program runs. */
  isGiven(value: Value): boolean {
    return !this.#parameters.has(value.id);
  }

  isParameter(value: Value): boolean {
    return this.#storage !== undefined && !this.#inIsland && this.#parameters.has(value.id);
  }

  /**
   * A parameter's initialiser under another shape: the same bytes, no reshape at run time. A shape with fewer elements takes a part of
   * them, from element `start`.
   */
  parameter(value: Value, shape: readonly number[], start = 0): string {
    const parameter = this.#parameters.get(value.id);
    if (parameter === undefined || !this.#storage)
      throw new StableDiffusionError('invalid-argument', `Value v${value.id} is not a stored parameter.`);
    const storage = this.#storage;
    const same = shape.join() === value.shape.join();
    const name = same ? parameter : `${parameter}[${shape.join('x')}${start > 0 ? ` from ${start}` : ''}]`;
    return this.#once(`parameter ${name}`, () => {
      const dtype = this.dtype(value);
      const { dtype: stored = dtype, location, offset } = storage(parameter);
      const size = byteSize(stored);
      const data = { location, offset: offset + start * size, length: elementCount(shape) * size };
      const to = castCodes[dtype];
      if (stored === dtype || to === undefined) {
        this.initializers.push({ name, dtype, shape, data });
        return name;
      }
      const kept: OnnxInitializer = { name: `${name} as stored`, dtype: stored, shape, data };
      this.initializers.push(kept);
      this.converted.push(kept);
      return this.node('Cast', [kept.name], { to }, { output: name });
    });
  }

  #once(key: string, make: () => string): string {
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.#shared.set(key, name);
    return name;
  }

  /** Adds a node with one output and returns the output's name. */
  node(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    options: NodeOptions = {},
  ): string {
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

  /** A constant as an initialiser; small equal ones are shared. */
  constant(value: Tensor): string {
    const add = (): string => {
      const name = `c${this.#counter++}`;
      const data = value.dtype === 'float32' ? convert(value, this.#float) : value;
      this.initializers.push({ name, dtype: data.dtype, shape: value.shape, data });
      return name;
    };
    if (value.data.length > 16) return add();
    return this.#once(`constant ${this.dtype(value)} ${value.shape.join()}: ${value.data.join()}`, add);
  }

  /** Whole numbers as an int64 vector. */
  integers(values: readonly number[]): string {
    return this.constant(int64([values.length], values));
  }

  /** A number of the model's float type, as a scalar. */
  scalar(value: number): string {
    return this.constant(float32([], [value]));
  }

  /** One number of the model's float type in every place. Where the shape is all numbers, the runtime makes the tensor when it loads the model. */
  filled(value: number, shape: readonly Dim[]): string {
    return this.#once(`filled ${this.#float} ${value} ${shape.map(dimText).join()}`, () =>
      this.node('Expand', [this.scalar(value), this.shape(shape)]),
    );
  }

  /** A shape as an int64 vector: constant where it is all numbers, else calculated from the shapes of the inputs. */
  shape(shape: readonly Dim[]): string {
    if (shape.every((size) => typeof size === 'number')) return this.integers(shape);
    return this.#once(`shape ${shape.map(dimText).join()}`, () =>
      this.node(
        'Concat',
        shape.map((size) => this.#dim(size)),
        { axis: 0 },
      ),
    );
  }

  /** The target of a Reshape: -1 and 0 (as in the input) spare the calculation in the usual cases. */
  reshapeTarget(from: readonly Dim[], to: readonly Dim[]): string {
    const open = to.map((size, axis) =>
      typeof size === 'number'
        ? size
        : from[axis] !== undefined && dimText(from[axis]) === dimText(size)
          ? 0
          : undefined,
    );
    if (open.filter((size) => size === undefined).length > 1) return this.shape(to);
    return this.integers(open.map((size) => size ?? -1));
  }

  /** One dimension as an int64 vector of length 1. */
  #dim(value: Dim): string {
    if (typeof value === 'number') return this.integers([value]);
    return this.#once(`dim ${dimText(value)}`, () => {
      const terms = dimTerms(value).map(({ coefficient, atoms }) => {
        const factors = atoms.map((atom) => this.#atom(atom));
        if (coefficient !== 1 || factors.length === 0) factors.push(this.integers([coefficient]));
        return factors.reduce((product, factor) => this.node('Mul', [product, factor]));
      });
      return terms.reduce((sum, term) => this.node('Add', [sum, term]));
    });
  }

  #atom(atom: DimAtom): string {
    // Dimensions are not negative, so that ONNX's integer division, which rounds to zero, rounds down.
    if ('numerator' in atom) return this.node('Div', [this.#dim(atom.numerator), this.integers([atom.divisor])]);
    return this.#once(`symbol ${atom.symbol}`, () => {
      for (const { value } of this.#graph.inputs) {
        for (const [axis, size] of value.shape.entries()) {
          if (typeof size === 'number') continue;
          const [term, ...others] = dimTerms(size);
          const [only, ...more] = term?.atoms ?? [];
          if (
            !term ||
            others.length > 0 ||
            more.length > 0 ||
            !only ||
            !('symbol' in only) ||
            only.symbol !== atom.symbol
          )
            continue;
          const length = this.node('Shape', [this.name(value)], { start: axis, end: axis + 1 });
          return term.coefficient === 1 ? length : this.node('Div', [length, this.integers([term.coefficient])]);
        }
      }
      throw new StableDiffusionError(
        'shape-mismatch',
        `No input has a dimension from which ${atom.symbol} can be read.`,
      );
    });
  }
}
