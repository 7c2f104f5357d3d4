/** What readers of the set `lineage` share: a case's tensors, weights, tolerances, and networks on the shared engine. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../../src/engine/engine.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { expectDType, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { generateWeights } from '../generated-weights.ts';
import { pick, readTensors, type Tensors } from '../tensors.ts';
import { parityEngine } from './engine.ts';
import { type Comparison, compareTensors, type RecordedCase } from './reader.ts';

// biome-ignore lint/suspicious/noExplicitAny: rows are what the recorder wrote
export type Loose = any;

export interface LineageCase {
  readonly name: string;
  readonly row: Loose;
  readonly folder: string;
  readonly settings: Loose;
  /** Throws where it is not recorded. */
  input(name: string): Tensor<'float32'>;
  tensor(name: string): Tensor;
  readonly inputs: Tensors;
  readonly outputs: Tensors;
  /** The j-th draw of noise. */
  noise(j: number): Tensor<'float32'>;
  json(file: string): Loose;
  /** Compares with the recorded output of that name. */
  compare(output: string, got: Tensor | undefined): Comparison;
  /** Weights of this case, or of the one that it names. `base`: the name of the file without its ending. */
  weights(base?: string, from?: string): WeightSource;
}

export function lineageCase(recorded: RecordedCase): LineageCase {
  const { row, folder, name } = recorded;
  const read = (file: string): Tensors =>
    existsSync(join(folder, file)) ? readTensors(join(folder, file)) : new Map();
  const inputs = read('inputs.safetensors');
  const outputs = read('outputs.safetensors');
  const input = (wanted: string): Tensor<'float32'> => expectDType(pick(inputs, wanted), 'float32');
  const loose: Loose = row;
  return {
    name,
    row: loose,
    folder,
    settings: loose.settings ?? {},
    inputs,
    outputs,
    input,
    tensor: (wanted) => pick(inputs, wanted),
    noise(j) {
      const all = input('noise');
      const shape = all.shape.slice(1);
      const size = shape.reduce((product, side) => product * side, 1);
      return { dtype: 'float32', shape, data: all.data.slice(j * size, (j + 1) * size) };
    },
    json: (file) => JSON.parse(readFileSync(join(folder, file), 'utf8')),
    compare(output, got) {
      const want = pick(outputs, output);
      const stated = loose.outputs?.[output];
      const { rel = 0, abs = 0 } = loose.tolerance ?? {};
      const largest = Array.from(want.data as ArrayLike<number | bigint>, Number).reduce(
        (most, value) => Math.max(most, Math.abs(value)),
        0,
      );
      return compareTensors(output, got, want, stated?.exact ? 0 : (stated?.atol ?? Math.max(rel * largest, abs)));
    },
    weights(base = 'weights', from = loose[base === 'weights' ? 'weights_from' : `${base}_from`]) {
      const path = from ? join(folder, String(from).replace(/\.(safetensors|json)$/, '')) : join(folder, base);
      const tensors = new Map<string, Tensor>();
      if (existsSync(`${path}.safetensors`))
        for (const [key, value] of readTensors(`${path}.safetensors`)) tensors.set(key, widened(value));
      if (existsSync(`${path}.json`))
        for (const [key, value] of generateWeights(`${path}.json`)) tensors.set(key, value);
      if (tensors.size === 0) throw new Error(`${name}: there are no weights at ${path}`);
      return memoryWeights(tensors);
    },
  };
}

/** float16 values that are exact become float32. */
function widened(value: Tensor): Tensor {
  if (value.dtype !== 'float16') return value;
  return {
    dtype: 'float32',
    shape: value.shape,
    data: Float32Array.from(value.data as ArrayLike<number>, halfToNumber),
  };
}

function halfToNumber(half: number): number {
  const [sign, exponent, fraction] = [half & 0x8000 ? -1 : 1, (half >> 10) & 31, half & 1023];
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export const compileGraph = (graph: Graph, weights: WeightSource): Promise<Program> =>
  parityEngine().compile(graph, weights);

export const timestepsOf = (told: readonly number[]): Tensor<'float32'> => ({
  dtype: 'float32',
  shape: [told.length],
  data: Float32Array.from(told),
});
