/** What the checks of engines share. Free of `node:` imports, as the checks are. */

import type { Engine } from '../../src/engine/engine.ts';
import { dim, multiplyDims } from '../../src/graph/dim.ts';
import * as f from '../../src/graph/functions.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { type Sym, trace } from '../../src/graph/trace.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { elementCount, float32, type Shape, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';

export interface Check {
  readonly name: string;
  readonly run: (engine: Engine) => Promise<void>;
}

export function ensure(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}

/** Smooth values without a pattern the operations could hide behind. */
export function wave(shape: Shape, phase = 0): Tensor<'float32'> {
  return float32(
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i * 1.7 + phase) + 0.3 * Math.cos(i * 0.31)),
  );
}

export function nearly(got: Tensor | undefined, want: ArrayLike<number>, tolerance: number): void {
  const values = got ? toFloat32(got).data : [];
  ensure(values.length === want.length, `${values.length} values instead of ${want.length}`);
  for (let i = 0; i < want.length; i++) {
    const difference = Math.abs((values[i] as number) - (want[i] as number));
    ensure(difference <= tolerance, `element ${i} is ${values[i]}, not ${want[i]}`);
  }
}

/** softmax(q kᵀ / sqrt(width of a head)) v for each head, in float64. */
export function attended(
  q: Tensor<'float32'>,
  k: Tensor<'float32'>,
  v: Tensor<'float32'>,
  heads: number,
  causal = false,
): number[] {
  const [batch = 0, queries = 0, width = 0] = q.shape;
  const keys = k.shape[1] ?? 0;
  const head = width / heads;
  const out = new Array<number>(batch * queries * width).fill(0);
  const row = (tensor: Tensor<'float32'>, tokens: number, n: number, token: number, h: number): Float32Array => {
    const start = (n * tokens + token) * width + h * head;
    return tensor.data.subarray(start, start + head);
  };
  for (let n = 0; n < batch; n++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const query = row(q, queries, n, i, h);
        const scores = Array.from(
          { length: causal ? i + 1 : keys },
          (_, j) =>
            row(k, keys, n, j, h).reduce((sum, value, c) => sum + value * (query[c] as number), 0) / Math.sqrt(head),
        );
        const most = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - most));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [j, weight] of weights.entries()) {
          const value = row(v, keys, n, j, h);
          for (let c = 0; c < head; c++)
            out[(n * queries + i) * width + h * head + c] =
              (out[(n * queries + i) * width + h * head + c] as number) + (weight / total) * (value[c] as number);
        }
      }
    }
  }
  return out;
}

export async function rejects(work: Promise<unknown>, code: string): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const found = typeof error === 'object' && error !== null && 'code' in error ? error.code : String(error);
  ensure(found === code, `expected the error ${code}, got ${found}`);
}

export const none = memoryWeights(new Map());

/** A small network with everything that makes shapes hard: convolution, normalisation over groups, tokens and back. */
export function smallNetwork(): { graph: Graph; weights: ReturnType<typeof memoryWeights> } {
  const shape = [dim('batch'), 4, multiplyDims(2, dim('height')), multiplyDims(2, dim('width'))];
  const graph = trace({ x: { dtype: 'float32', shape } }, ({ x }, p) => {
    const y = p.at('block').module(() => {
      const convolved = f.conv2d(x, p.get('conv.weight', [8, 4, 3, 3]), p.get('conv.bias', [8]), {
        padding: 1,
        stride: 2,
      });
      return f.silu(
        f.groupNorm(convolved, p.get('norm.weight', [8]), p.get('norm.bias', [8]), { groups: 2, epsilon: 1e-5 }),
      );
    });
    const [batch] = y.shape;
    const tokens = f.transpose(f.reshape(y, [batch as number, 8, -1]), [0, 2, 1]);
    const mixed = f.linear(
      f.attention(tokens, tokens, tokens, { heads: 2 }),
      p.get('out.weight', [8, 8]),
      p.get('conv.bias', [8]),
    );
    return { out: f.upsampleNearest(f.reshape(f.transpose(mixed, [0, 2, 1]), y.shape), 2) };
  });
  const tensors: [string, Shape][] = [
    ['conv.weight', [8, 4, 3, 3]],
    ['conv.bias', [8]],
    ['norm.weight', [8]],
    ['norm.bias', [8]],
    ['out.weight', [8, 8]],
  ];
  return { graph, weights: memoryWeights(new Map(tensors.map(([name, size], i) => [name, wave(size, i)]))) };
}

/** A one-operation graph run on given inputs. */
export async function runOne(
  engine: Engine,
  inputs: Record<string, Tensor>,
  network: (inputs: Readonly<Record<string, Sym>>) => Sym,
): Promise<Tensor | undefined> {
  const graph = trace(
    Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
    (symbols) => ({ out: network(symbols) }),
  );
  const program = await engine.compile(graph, none);
  const { out } = await program.run(inputs);
  await program.dispose();
  return out;
}

export const get = (inputs: Readonly<Record<string, Sym>>, name: string): Sym => {
  const found = inputs[name];
  if (!found) throw new Error(`no input ${name}`);
  return found;
};
