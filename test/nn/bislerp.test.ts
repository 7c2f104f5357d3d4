/** Spherical resizing in a network, against the same on tensors, which recorded latents of ComfyUI check. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { Sym } from '../../src/graph/trace.ts';
import { bislerpImage } from '../../src/nn/bislerp.ts';
import { normalNoise } from '../../src/random/torch-generator.ts';
import { bislerp } from '../../src/tensor/bislerp.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { runGraph, traceLike } from '../graph/run-graph.ts';
import { maxDifference } from '../parity.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

for (const [height, width] of [
  [3, 9],
  [8, 4],
  [5, 6],
] as const)
  test(`5 by 6 to ${height} by ${width}, some vectors zero, equal or opposite`, async () => {
    const x = normalNoise([2, 4, 5, 6], 3);
    for (let c = 0; c < 4; c++) {
      x.data[c * 30] = 0;
      x.data[c * 30 + 8] = x.data[c * 30 + 9] as number;
      x.data[c * 30 + 20] = -(x.data[c * 30 + 21] as number);
    }
    const graph = traceLike({ x }, ({ x: given }) => ({ out: bislerpImage(given as Sym, height, width) }));
    const { out } = await runGraph(engine, graph, { x });
    const want = bislerp(x, height, width);
    assert.deepEqual(out?.shape, want.shape);
    assert.ok(maxDifference(out as Tensor, want) < 2e-5);
  });
