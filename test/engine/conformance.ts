/** What every engine must do, as a list of named checks. Free of `node:` imports, so that the same list runs in Node and in a page. */

import * as f from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { type Check, ensure, nearly, none, rejects, smallNetwork, wave } from './conformance-tools.ts';
import { operationChecks } from './conformance-operations.ts';
import { stateChecks } from './conformance-state.ts';

const programChecks: readonly Check[] = [
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
  ...stateChecks,
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

export const checks: readonly Check[] = [...operationChecks, ...programChecks];

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
