/**
 * Values that cross from one segment of a program to a later one: where they are kept. The runtime writes each straight into a buffer, and a
 * buffer whose value is no longer read serves for the next of its size; left to the garbage collector, they would pile up run after run.
 */

import { bindShape, evaluateShape } from '../graph/dim.ts';
import type { Graph, NamedValue } from '../graph/graph.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { elementCount, fromBytes, type Shape, type Tensor } from '../tensor/tensor.ts';
import type { Tensors } from './engine.ts';

/** A value that crosses segments, in one run. */
export interface Crossing {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** The values that cross between the segments of `graph`. */
export function crossingValues(graph: Graph, segments: readonly Graph[]): readonly NamedValue[] {
  const results = new Set(graph.outputs.map(({ name }) => name));
  return segments.flatMap((segment) => segment.outputs.filter(({ name }) => !results.has(name)));
}

/** Their shapes in a run of `graph` on these inputs. */
export function crossingsOf(graph: Graph, values: readonly NamedValue[], feeds: Tensors): readonly Crossing[] {
  if (values.length === 0) return [];
  const bindings = new Map<string, number>();
  for (const { name, value } of graph.inputs) bindShape(name, value.shape, feeds[name]?.shape ?? [], bindings);
  return values.map(({ name, value }) => ({ name, dtype: value.dtype, shape: evaluateShape(value.shape, bindings) }));
}

/** The buffers of one program. */
export class CrossingBuffers {
  #free: Uint8Array<ArrayBuffer>[] = [];
  #shapes = '';

  /** Before a run: drops the buffers of runs of other sizes. */
  begin(crossings: readonly Crossing[]): void {
    const shapes = crossings.map(({ shape }) => shape.join('x')).join();
    if (shapes !== this.#shapes) this.#free = [];
    this.#shapes = shapes;
  }

  /** A tensor for the runtime to write to. */
  take({ dtype, shape }: Crossing): Tensor {
    const length = elementCount(shape) * byteSize(dtype);
    const index = this.#free.findIndex((buffer) => buffer.length === length);
    const [bytes = new Uint8Array(length)] = index < 0 ? [] : this.#free.splice(index, 1);
    return fromBytes(dtype, shape, bytes);
  }

  /** Takes back a tensor that is not read any more. */
  giveBack({ data }: Tensor): void {
    this.#free.push(new Uint8Array(data.buffer as ArrayBuffer));
  }
}
