/** The parameters of a graph that lie in files or buffers, as initialisers of a model. */

import { StableDiffusionError } from '../errors.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { elementCount } from '../tensor/tensor.ts';
import type { ExternalData, OnnxInitializer } from './model.ts';
import type { OnnxBuilder } from './onnx-builder.ts';

/** Location of a parameter's bytes, and their element type if it differs from the model's, in which case the runtime converts them. */
export interface StoredParameter extends ExternalData {
  readonly dtype?: DType;
}

export type ParameterStorage = (name: string) => StoredParameter;

/** TensorProto.DataType of the element types that parameters are converted between. */
const castCodes: Partial<Record<DType, number>> = { float32: 1, float16: 10 };

export class StoredParameters {
  /** Initialisers of another element type than the model's, which are converted to it. */
  readonly converted: OnnxInitializer[] = [];
  readonly #onnx: OnnxBuilder;
  readonly #storage: ParameterStorage | undefined;
  readonly #names: ReadonlyMap<number, string>;

  /** Without `storage`, parameters are inputs of the model instead of initialisers. */
  constructor(onnx: OnnxBuilder, parameters: Graph['parameters'], storage: ParameterStorage | undefined) {
    this.#onnx = onnx;
    this.#storage = storage;
    this.#names = new Map(parameters.map(({ name, value }) => [value.id, name]));
  }

  /** True if a value is a parameter, stored or not. */
  has(value: Value): boolean {
    return this.#names.has(value.id);
  }

  isStored(value: Value): boolean {
    return this.#storage !== undefined && this.has(value);
  }

  /**
   * A parameter's initialiser under another shape: the same bytes, no reshape at run time. A shape with fewer elements takes a part of
   * them, from element `start`.
   */
  initializer(value: Value, shape: readonly number[], start = 0): string {
    const parameter = this.#names.get(value.id);
    if (parameter === undefined || !this.#storage)
      throw new StableDiffusionError('invalid-argument', `Value v${value.id} is not a stored parameter.`);
    const storage = this.#storage;
    const onnx = this.#onnx;
    const same = shape.join() === value.shape.join();
    const name = same ? parameter : `${parameter}[${shape.join('x')}${start > 0 ? ` from ${start}` : ''}]`;
    return onnx.once(`parameter ${name}`, () => {
      const dtype = onnx.dtype(value);
      const { dtype: stored = dtype, location, offset } = storage(parameter);
      const size = byteSize(stored);
      const data = { location, offset: offset + start * size, length: elementCount(shape) * size };
      const to = castCodes[dtype];
      if (stored === dtype || to === undefined) {
        onnx.initializers.push({ name, dtype, shape, data });
        return name;
      }
      const kept: OnnxInitializer = { name: `${name} as stored`, dtype: stored, shape, data };
      onnx.initializers.push(kept);
      this.converted.push(kept);
      return onnx.node('Cast', [kept.name], { to }, { output: name });
    });
  }
}
