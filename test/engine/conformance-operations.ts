/** Operations that every engine computes alike. */

import * as f from '../../src/graph/functions.ts';
import { type Sym, trace } from '../../src/graph/trace.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { float32, int64 } from '../../src/tensor/tensor.ts';
import { type Check, attended, get, nearly, none, runOne, wave } from './conformance-tools.ts';

const x = float32([2, 3], [-3, -1, -0.5, 0, 0.5, 20]);

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

/** Single operations. */
export const operationChecks: readonly Check[] = [
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
];
