/** Shapes: sizes of a graph as tensors of the model, calculated from the shapes of the inputs where they are not known beforehand. */

import { StableDiffusionError } from '../errors.ts';
import { type Dim, type DimAtom, dimTerms, dimText } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import type { OnnxBuilder } from './onnx-builder.ts';
import type { Values } from './values.ts';

export class Shapes {
  readonly #onnx: OnnxBuilder;
  readonly #values: Values;
  readonly #inputs: Graph['inputs'];

  constructor(onnx: OnnxBuilder, values: Values, inputs: Graph['inputs']) {
    this.#onnx = onnx;
    this.#values = values;
    this.#inputs = inputs;
  }

  /** A shape as an int64 vector: constant where it is all numbers, else calculated from the shapes of the inputs. */
  vector(shape: readonly Dim[]): string {
    const onnx = this.#onnx;
    if (shape.every((size) => typeof size === 'number')) return onnx.integers(shape);
    return onnx.once(`shape ${shape.map(dimText).join()}`, () =>
      onnx.node(
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
    if (open.filter((size) => size === undefined).length > 1) return this.vector(to);
    return this.#onnx.integers(open.map((size) => size ?? -1));
  }

  /** One number of the model's float type in every place. Where the shape is all numbers, the runtime makes the tensor when it loads the model. */
  filled(value: number, shape: readonly Dim[]): string {
    const onnx = this.#onnx;
    return onnx.once(`filled ${onnx.float} ${value} ${shape.map(dimText).join()}`, () =>
      onnx.node('Expand', [onnx.scalar(value), this.vector(shape)]),
    );
  }

  /** One dimension as an int64 vector of length 1. */
  #dim(value: Dim): string {
    const onnx = this.#onnx;
    if (typeof value === 'number') return onnx.integers([value]);
    return onnx.once(`dim ${dimText(value)}`, () => {
      const terms = dimTerms(value).map(({ coefficient, atoms }) => {
        const factors = atoms.map((atom) => this.#atom(atom));
        if (coefficient !== 1 || factors.length === 0) factors.push(onnx.integers([coefficient]));
        return factors.reduce((product, factor) => onnx.node('Mul', [product, factor]));
      });
      return terms.reduce((sum, term) => onnx.node('Add', [sum, term]));
    });
  }

  #atom(atom: DimAtom): string {
    const onnx = this.#onnx;
    // Dimensions are not negative, so that ONNX's integer division, which rounds to zero, rounds down.
    if ('numerator' in atom) return onnx.node('Div', [this.#dim(atom.numerator), onnx.integers([atom.divisor])]);
    return onnx.once(`symbol ${atom.symbol}`, () => this.#symbol(atom.symbol));
  }

  /** A symbol's size, read from the first input that has it alone, or a multiple of it, as a dimension. */
  #symbol(symbol: string): string {
    const onnx = this.#onnx;
    for (const { value } of this.#inputs) {
      for (const [axis, size] of value.shape.entries()) {
        if (typeof size === 'number') continue;
        const [term, ...others] = dimTerms(size);
        const [only, ...more] = term?.atoms ?? [];
        if (!term || others.length > 0 || more.length > 0 || !only || !('symbol' in only) || only.symbol !== symbol)
          continue;
        const length = onnx.node('Shape', [this.#values.name(value)], { start: axis, end: axis + 1 });
        return term.coefficient === 1 ? length : onnx.node('Div', [length, onnx.integers([term.coefficient])]);
      }
    }
    throw new StableDiffusionError('shape-mismatch', `No input has a dimension from which ${symbol} can be read.`);
  }
}
