/** What every engine must do, as a list of named checks. Free of `node:` imports, so that the same list runs in Node and in a page. */

import type { Engine } from '../../src/engine/engine.ts';
import { dim, multiplyDims } from '../../src/graph/dim.ts';
import * as f from '../../src/graph/functions.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { type Sym, trace } from '../../src/graph/trace.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { elementCount, float32, int64, type Shape, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';

export interface Check {
  readonly name: string;
  readonly run: (engine: Engine) => Promise<void>;
}

function ensure(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}

/** Smooth values without a pattern the operations could hide behind. */
export function wave(shape: Shape, phase = 0): Tensor<'float32'> {
  return float32(
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, i) => Math.sin(i * 1.7 + phase) + 0.3 * Math.cos(i * 0.31)),
  );
}

function nearly(got: Tensor | undefined, want: ArrayLike<number>, tolerance: number): void {
  const values = got ? toFloat32(got).data : [];
  ensure(values.length === want.length, `${values.length} values instead of ${want.length}`);
  for (let i = 0; i < want.length; i++) {
    const difference = Math.abs((values[i] as number) - (want[i] as number));
    ensure(difference <= tolerance, `element ${i} is ${values[i]}, not ${want[i]}`);
  }
}

/** softmax(q kᵀ / sqrt(width of a head)) v for each head, in float64. */
function attended(
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

async function rejects(work: Promise<unknown>, code: string): Promise<void> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const found = typeof error === 'object' && error !== null && 'code' in error ? error.code : String(error);
  ensure(found === code, `expected the error ${code}, got ${found}`);
}

const none = memoryWeights(new Map());

/** A small network with everything that makes shapes hard: convolution, normalisation over groups, tokens and back. */
function smallNetwork(): { graph: Graph; weights: ReturnType<typeof memoryWeights> } {
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
async function runOne(
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

const x = float32([2, 3], [-3, -1, -0.5, 0, 0.5, 20]);
const get = (inputs: Readonly<Record<string, Sym>>, name: string): Sym => {
  const found = inputs[name];
  if (!found) throw new Error(`no input ${name}`);
  return found;
};

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

export const checks: readonly Check[] = [
  {
    name: 'element-wise operations',
    run: async (engine) => {
      const values = [...x.data];
      nearly(
        await runOne(engine, { x }, (i) => f.silu(get(i, 'x'))),
        values.map((v) => v * sigmoid(v)),
        2e-6,
      );
      nearly(
        await runOne(engine, { x }, (i) => f.quickGelu(get(i, 'x'))),
        values.map((v) => v * sigmoid(1.702 * v)),
        2e-6,
      );
      nearly(
        await runOne(engine, { x }, (i) => f.clamp(get(i, 'x'), -1, 1)),
        values.map((v) => Math.min(1, Math.max(-1, v))),
        0,
      );
      nearly(
        await runOne(engine, { x }, (i) => f.where(f.less(get(i, 'x'), 0), f.neg(get(i, 'x')), 2)),
        values.map((v) => (v < 0 ? -v : 2)),
        0,
      );
      nearly(
        await runOne(engine, { x }, (i) => f.exp(f.mul(get(i, 'x'), 0.5))),
        values.map((v) => Math.exp(v / 2)),
        5e-2,
      );
    },
  },
  {
    name: 'layout operations',
    run: async (engine) => {
      nearly(await runOne(engine, { x }, (i) => f.transpose(get(i, 'x'), [1, 0])), [-3, 0, -1, 0.5, -0.5, 20], 0);
      nearly(
        await runOne(engine, { x }, (i) => f.concat(f.split(get(i, 'x'), 1, [2, 1]).reverse(), 1)),
        [-0.5, -3, -1, 20, 0, 0.5],
        0,
      );
      nearly(
        await runOne(engine, { x }, (i) => f.pad(get(i, 'x'), [0, 1], [0, 0])),
        [0, -3, -1, -0.5, 0, 0, 0.5, 20],
        0,
      );
      nearly(
        await runOne(engine, { x }, (i) => f.sum(f.expand(f.reshape(get(i, 'x'), [6, 1]), [6, 4]), [1])),
        [...x.data].map((v) => v * 4),
        1e-5,
      );
    },
  },
  {
    name: 'lookup with repeated ids, and its transpose',
    run: async (engine) => {
      const ids = int64([3], [1, 0, 1]);
      nearly(
        await runOne(engine, { x, ids }, (i) => f.gather(get(i, 'x'), get(i, 'ids'))),
        [0, 0.5, 20, -3, -1, -0.5, 0, 0.5, 20],
        0,
      );
      const rows = float32([3, 2], [1, 2, 3, 4, 5, 6]);
      nearly(
        await runOne(engine, { rows, ids }, (i) => f.scatterAdd(get(i, 'ids'), get(i, 'rows'), 2)),
        [3, 4, 6, 8],
        0,
      );
    },
  },
  {
    // More keys than a GPU's subgroup, one wide head, and heads of an odd width.
    name: 'attention over many tokens',
    run: async (engine) => {
      for (const { heads, width, queries, keys } of [
        { heads: 4, width: 64, queries: 40, keys: 77 },
        { heads: 1, width: 192, queries: 33, keys: 33 },
        { heads: 8, width: 96, queries: 256, keys: 50 },
        { heads: 2, width: 16, queries: 5, keys: 7 },
      ]) {
        const [q, k, v] = [wave([2, queries, width]), wave([2, keys, width], 1), wave([2, keys, width], 2)];
        const graph = trace(
          {
            q: { dtype: 'float32', shape: q.shape },
            k: { dtype: 'float32', shape: k.shape },
            v: { dtype: 'float32', shape: v.shape },
          },
          (i) => ({ out: f.attention(i.q, i.k, i.v, { heads }) }),
        );
        const program = await engine.compile(graph, none);
        const { out } = await program.run({ q, k, v });
        nearly(out, attended(q, k, v, heads), 2e-5);
        await program.dispose();
      }
    },
  },
  {
    name: 'causal attention sees no later token',
    run: async (engine) => {
      const q = wave([1, 5, 8]);
      const changed = float32([1, 5, 8], q.data);
      changed.data.fill(9, 32);
      const network = (i: Readonly<Record<string, Sym>>): Sym =>
        f.attention(get(i, 'q'), get(i, 'q'), get(i, 'q'), { heads: 2, causal: true });
      const a = await runOne(engine, { q }, network);
      const b = await runOne(engine, { q: changed }, network);
      nearly(b && float32([32], toFloat32(b).data.subarray(0, 32)), a ? toFloat32(a).data.subarray(0, 32) : [], 1e-6);
      // As many tokens as CLIP's text encoder has, and one head, which may take another way.
      for (const heads of [4, 1]) {
        const [k, v] = [wave([1, 77, 32], 1), wave([1, 77, 32], 2)];
        const long = wave([1, 77, 32]);
        nearly(
          await runOne(engine, { q: long, k, v }, (i) =>
            f.attention(get(i, 'q'), get(i, 'k'), get(i, 'v'), { heads, causal: true }),
          ),
          attended(long, k, v, heads, true),
          2e-5,
        );
      }
    },
  },
  {
    name: 'one program serves every size and batch',
    run: async (engine) => {
      const { graph, weights } = smallNetwork();
      const program = await engine.compile(graph, weights);
      for (const shape of [
        [1, 4, 8, 8],
        [3, 4, 6, 10],
        [2, 4, 2, 4],
      ]) {
        const { out } = await program.run({ x: wave(shape) });
        ensure(
          out?.shape.join() === [shape[0], 8, shape[2], shape[3]].join(),
          `output of shape ${out?.shape} for an input of ${shape}`,
        );
      }
      // Images of a batch do not see each other.
      const pair = wave([2, 4, 4, 4]);
      const { out: both } = await program.run({ x: pair });
      const { out: first } = await program.run({ x: float32([1, 4, 4, 4], pair.data.subarray(0, 64)) });
      nearly(both && float32([128], toFloat32(both).data.subarray(0, 128)), first ? toFloat32(first).data : [], 1e-5);
      await program.dispose();
    },
  },
  {
    name: 'parameters given at each run',
    run: async (engine) => {
      const graph = trace({ x: { dtype: 'float32', shape: [1, 2] } }, ({ x: input }, p) => ({
        out: f.linear(input, p.get('weight', [1, 2])),
      }));
      const program = await engine.compile(graph, none, { parameters: 'inputs' });
      for (const scale of [1, 3]) {
        const { out } = await program.run({ x: float32([1, 2], [1, 2]), weight: float32([1, 2], [scale, scale]) });
        nearly(out, [3 * scale], 1e-6);
      }
      await program.dispose();
    },
  },
  {
    name: 'some parameters fixed, some given',
    run: async (engine) => {
      const graph = trace({ x: { dtype: 'float32', shape: [1, 2] } }, ({ x: input }, p) => ({
        out: f.linear(input, p.get('weight', [1, 2]), p.get('bias', [1])),
      }));
      const weights = memoryWeights(new Map([['weight', float32([1, 2], [1, 1])]]));
      const program = await engine.compile(graph, weights, { parameters: { inputs: new Set(['bias']) } });
      for (const bias of [1, 3])
        nearly(
          (await program.run({ x: float32([1, 2], [1, 2]), bias: float32([1], [bias]) }))['out'],
          [3 + bias],
          1e-6,
        );
      await program.dispose();
    },
  },
  {
    name: 'a state stays between runs, is read where it is and written in place',
    run: async (engine) => {
      await using state = engine.createState();
      await state.write({
        weight: float32([1, 2], [1, 2]),
        gradient: float32([1, 2], [0, 0]),
        other: float32([2, 2], [1, 2, 3, 4]),
        rest: float32([2, 2], [1, 1, 1, 1]),
      });
      // weight ← its gradient, for both programs: one not element by element, one that is, over tensors of any shape.
      const outer = trace({ x: { dtype: 'float32', shape: [1, 2] } }, ({ x: input }, p) => {
        const weight = p.get('weight', [1, 2]);
        return { gradient: f.matmul(weight, f.matmul(input, weight, { transposeA: true })), sum: f.sum(weight) };
      });
      const first = await engine.compile(outer, none, { parameters: 'inputs' });
      const given = float32([1, 2], [1, 1]);
      const [result] = await first.runBound(state, [
        { tensors: { x: given }, inputs: { weight: 'weight' }, outputs: { gradient: 'gradient' } },
      ]);
      nearly(result?.['sum'], [3], 0);
      ensure(!('gradient' in (result ?? {})), 'a bound output was returned');
      nearly((await state.read(['gradient']))['gradient'], [3, 6], 1e-6);
      // The same tensor read and written: the old values count throughout.
      await first.runBound(state, [
        { tensors: { x: given }, inputs: { weight: 'weight' }, outputs: { gradient: 'weight' } },
      ]);
      nearly((await state.read(['weight']))['weight'], [3, 6], 1e-6);
      const flat = { dtype: 'float32', shape: [dim('n')] } as const;
      const step = trace({ p: flat, g: flat, rate: { dtype: 'float32', shape: [] } }, ({ p, g, rate }) => ({
        next: f.sub(p, f.mul(g, rate)),
      }));
      const second = await engine.compile(step, none);
      const runs = [
        { inputs: { p: 'weight', g: 'gradient' }, outputs: { next: 'weight' } },
        { inputs: { p: 'other', g: 'rest' }, outputs: { next: 'other' } },
      ];
      for (let i = 0; i < 2; i++)
        await second.runBound(
          state,
          runs.map((run) => ({ ...run, tensors: { rate: float32([], [0.5]) } })),
          { inPlace: true },
        );
      const { weight, other } = await state.read();
      nearly(weight, [0, 0], 1e-6);
      nearly(other, [0, 1, 2, 3], 1e-6);
      ensure(other?.shape.join() === '2,2', `the shape became ${other?.shape}`);
      await rejects(
        second.runBound(state, [{ tensors: { rate: float32([], [1]) }, inputs: { p: 'weight', g: 'other' } }]),
        'shape-mismatch',
      );
      await rejects(
        second.runBound(state, [{ tensors: { rate: float32([], [1]) }, inputs: { p: 'nothing', g: 'other' } }]),
        'shape-mismatch',
      );
      await rejects(state.write({ weight: float32([2], [1, 2]) }), 'shape-mismatch');
      // Packed, tensors keep their names and values, and one run goes over all, or over some elements.
      await state.pack('all', { weight: [1, 2], other: [2, 2], fresh: [3] });
      await state.pack('all gradients', { 'weight gradient': [1, 2], 'other gradient': [2, 2], 'fresh gradient': [3] });
      await state.write({
        'other gradient': float32([2, 2], [1, 2, 3, 4]),
        'fresh gradient': float32([3], [1, 1, 1]),
        fresh: float32([3], [5, 6, 7]),
      });
      const size = state.entries.get('all')?.shape[0] ?? 0;
      const whole = { inputs: { p: 'all', g: 'all gradients' }, outputs: { next: 'all' } };
      await second.runBound(state, [{ ...whole, tensors: { rate: float32([], [1]) } }], { inPlace: true });
      const packed = await state.read(['weight', 'other', 'fresh']);
      nearly(packed['weight'], [0, 0], 1e-6);
      nearly(packed['other'], [-1, -1, -1, -1], 1e-6);
      nearly(packed['fresh'], [4, 5, 6], 1e-6);
      const part = { name: 'other', start: 1, end: 3 };
      await second.runBound(state, [
        {
          tensors: { rate: float32([], [1]) },
          inputs: { p: part, g: { ...part, name: 'other gradient' } },
          outputs: { next: part },
        },
      ]);
      nearly((await state.read(['other']))['other'], [-1, -3, -4, -1], 1e-6);
      nearly(
        float32([3], toFloat32((await state.read(['all']))['all'] as Tensor).data.subarray(size - 3)),
        [0, 0, 0],
        0,
      );
      await rejects(state.pack('all', { new: [1] }), 'invalid-argument');
      await rejects(state.pack('more', { fresh: [3] }), 'invalid-argument');
      await first.dispose();
      await second.dispose();
    },
  },
  {
    name: 'wrong inputs and weights are refused by name',
    run: async (engine) => {
      const { graph, weights } = smallNetwork();
      await rejects(engine.compile(graph, none), 'weights-mismatch');
      const program = await engine.compile(graph, weights);
      await rejects(program.run({}), 'shape-mismatch');
      await rejects(program.run({ x: wave([1, 4, 7, 8]) }), 'shape-mismatch');
      await rejects(program.run({ x: wave([1, 4, 8, 8]) }, { outputs: ['nothing'] }), 'invalid-argument');
      await program.dispose();
      await rejects(program.run({ x: wave([1, 4, 8, 8]) }), 'invalid-argument');
    },
  },
  {
    name: 'an aborted run rejects and the program stays usable',
    run: async (engine) => {
      const { graph, weights } = smallNetwork();
      const program = await engine.compile(graph, weights);
      const controller = new AbortController();
      controller.abort();
      await rejects(program.run({ x: wave([1, 4, 8, 8]) }, { signal: controller.signal }), 'aborted');
      const { out } = await program.run({ x: wave([1, 4, 8, 8]) });
      ensure(out !== undefined, 'no output after an aborted run');
      await program.dispose();
    },
  },
];

/** float16 inside, float32 outside: as float32 to the precision of float16. For providers that compute in it. */
export const halfPrecisionCheck: Check = {
  name: 'float16 program agrees with float32 to its precision',
  run: async (engine) => {
    const { graph, weights } = smallNetwork();
    const input = wave([1, 4, 8, 8]);
    const full = await engine.compile(graph, weights);
    const half = await engine.compile(graph, weights, { precision: 'float16' });
    const [{ out: want }, { out: got }] = await Promise.all([full.run({ x: input }), half.run({ x: input })]);
    nearly(got, want ? toFloat32(want).data : [], 2e-2);
    await Promise.all([full.dispose(), half.dispose()]);
  },
};
