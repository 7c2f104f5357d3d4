/**
 * Asks a GPU for an attention whose result is known, before a program relies on it.
 *
 * ONNX Runtime's fused kernel for WebGPU (contrib_ops/webgpu/bert/flash_attention.wgsl.template) goes through the keys in steps of a
 * subgroup, but weighs at least 8 at each: if a subgroup has fewer lanes (SwiftShader's have 4), missing keys count with a score
 * of 0, and results are wrong without an error. Node cannot query a device's subgroups, so we check a result instead.
 */

import { attention } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import { trace } from '../graph/trace.ts';
import { float32, type Shape, type Tensor } from '../tensor/tensor.ts';
import type { Program } from './engine.ts';

const [queries, keys, width] = [64, 96, 8];

/** Rows of one head: `first` and `second` in the first two channels, zeros in the others. */
function rows(
  count: number,
  first: (row: number) => number,
  second: (row: number) => number = () => 0,
): Tensor<'float32'> {
  const data = new Float32Array(count * width);
  for (let row = 0; row < count; row++) data.set([first(row), second(row)], row * width);
  return float32([1, count, width], data);
}

export function hasAttention(graph: Graph): boolean {
  return graph.nodes.some(({ op }) => op === 'attention');
}

/**
 * Checks whether the fused kernel is correct on the device of `compile`. The program stays loaded: as long as one exists, ONNX Runtime
 * keeps the device and the shaders compiled on it, from one model to the next.
 */
export async function fusedAttentionWorks(compile: (graph: Graph) => Promise<Program>): Promise<boolean> {
  const inputs = {
    q: rows(queries, () => 1),
    k: rows(keys, (row) => Math.log(1 + row)),
    v: rows(
      keys,
      () => 1,
      (row) => row,
    ),
  };
  const spec = (input: keyof typeof inputs): { dtype: 'float32'; shape: Shape } => ({
    dtype: 'float32',
    shape: inputs[input].shape,
  });
  const graph = trace({ q: spec('q'), k: spec('k'), v: spec('v') }, ({ q, k, v }) => ({
    out: attention(q, k, v, { heads: 1, scale: 1 }),
  }));
  const program = await compile(graph);
  const { out } = await program.run(inputs);
  // Weights in the proportion 1 : 2 : 3 : … of the values 0, 1, 2, … give two thirds of the largest value.
  const [sum, mean] = [1, (2 * (keys - 1)) / 3];
  const near = (value: unknown, wanted: number): boolean => Math.abs(Number(value) - wanted) < 1e-3 * wanted;
  return Array.from({ length: queries }, (_, row) => row * width).every(
    (at) => near(out?.data[at], sum) && near(out?.data[at + 1], mean),
  );
}
