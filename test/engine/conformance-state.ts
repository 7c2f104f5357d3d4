/** The state of an engine: tensors that stay between runs. */

import { toFloat32 } from '../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { dim } from '../../src/graph/dim.ts';
import type { Engine, Program } from '../../src/engine/engine.ts';
import * as f from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { type Check, ensure, nearly, none, rejects } from './conformance-tools.ts';

/** p less g at a rate, element by element, of any length. */
function descent(engine: Engine): Promise<Program> {
  const flat = { dtype: 'float32', shape: [dim('n')] } as const;
  const step = trace({ p: flat, g: flat, rate: { dtype: 'float32', shape: [] } }, ({ p, g, rate }) => ({
    next: f.sub(p, f.mul(g, rate)),
  }));
  return engine.compile(step, none);
}

export const stateChecks: readonly Check[] = [
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
      const second = await descent(engine);
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
      await first.dispose();
      await second.dispose();
    },
  },
  {
    name: 'packed tensors of a state keep their names and values, and one run goes over all, or over some elements',
    run: async (engine) => {
      await using state = engine.createState();
      await state.write({ weight: float32([1, 2], [0, 0]), other: float32([2, 2], [0, 1, 2, 3]) });
      const second = await descent(engine);
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
      await second.dispose();
    },
  },
];
