/**
 * Asks the processor for products of 8 bits whose result is known, before a program relies on them.
 *
 * Without VNNI an x86 processor multiplies unsigned by signed bytes with `vpmaddubsw`, which adds two products in 16 bits and cuts off what
 * does not fit. With weights of at most 63 the sum of two always fits (ONNX Runtime's documentation, "Quantize ONNX models": reduce_range).
 */

import { linear } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import { quantise } from '../graph/quantise.ts';
import { trace } from '../graph/trace.ts';
import { float32 } from '../tensor/tensor.ts';
import { largestInt8, int8Weights } from '../weights/int8-weights.ts';
import { memoryWeights } from '../weights/memory-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { Program } from './engine.ts';

const [rows, width] = [8, 64];

/** The largest number that a weight may become: 127, or 63 where products saturate. */
export async function largestWeight(
  compile: (graph: Graph, weights: WeightSource) => Promise<Program>,
): Promise<number> {
  const ones = (shape: readonly number[]) => float32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1));
  const x = ones([1, rows, width]);
  const graph = trace({ x: { dtype: 'float32', shape: x.shape } }, (inputs, p) => ({
    y: linear(inputs['x'] as never, p.get('weight', [width, width])),
  }));
  const { graph: small, parts } = quantise(graph);
  await using program = await compile(
    small,
    int8Weights(memoryWeights(new Map([['weight', ones([width, width])]])), parts),
  );
  const { y } = await program.run({ x });
  return Math.abs(Number(y?.data[0]) - width) < 0.05 * width ? largestInt8.whole : largestInt8.half;
}
