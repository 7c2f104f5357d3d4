/** Memory is estimated before a run: what cannot fit is refused with the figures, and nothing is computed. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { dim, multiplyDims } from '../../src/graph/dim.ts';
import { add, reshape } from '../../src/graph/functions.ts';
import { peakMemory } from '../../src/graph/peak-memory.ts';
import { trace } from '../../src/graph/trace.ts';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

let compiled = 0;
/** An engine on a machine with so many bytes left. */
const engineWith = (bytes: number): Engine => ({
  provider: engine.provider,
  limits: { ...engine.limits, availableMemory: () => bytes },
  compile(...given) {
    compiled++;
    return engine.compile(...given);
  },
  createState: () => engine.createState(),
  dispose: async () => {},
  [Symbol.asyncDispose]: async () => {},
});

test('the peak is the largest sum of values that live at the same time; a reshape takes nothing', () => {
  const x = { dtype: 'float32', shape: [dim('n'), 4] } as const;
  const graph = trace({ x }, (given) => {
    const sum = add(add(given.x, given.x), given.x);
    return { out: reshape(sum, [multiplyDims(dim('n'), 4)]) };
  });
  // x and two sums of 4 n elements each, at the second addition.
  assert.equal(
    peakMemory(graph, new Map([['n', 10]]), () => 4),
    3 * 40 * 4,
  );
});

test('a picture that cannot fit is refused with the figures before anything is compiled', async () => {
  await using model = await loadModel(pocketModel, { engine: engineWith(50e6), ownsEngine: false });
  const make = async (side: number): Promise<void> => {
    for await (const _ of textToImage(model, { prompt: 'x', steps: 1, width: side, height: side })) void _;
  };
  await assert.rejects(make(1024), {
    code: 'too-large',
    message: /first_stage needs at least 0\.403 GB of memory for this size, and 0\.0500 GB are free/,
  });
  assert.equal(compiled, 0);
  await make(64);
  assert.ok(compiled > 0);
});

test('a batch counts: each picture takes its share of the denoiser', async () => {
  await using model = await loadModel(pocketModel, { engine: engineWith(30e6), ownsEngine: false });
  model.checkMemory(2, 32, 32);
  assert.throws(() => model.checkMemory(64, 128, 128), { code: 'too-large', message: /The network unet needs/ });
});

test('what the runtime keeps from a run counts for the next of the same network', async () => {
  let free = 10e9;
  const engine = { ...engineWith(0), limits: { latentPositions: 1e9, availableMemory: () => free } };
  await using model = await loadModel(pocketModel, { engine, ownsEngine: false });
  const latent = float32([1, 4, 64, 64], new Float32Array(4 * 64 * 64));
  await model.decodeLatent(latent);
  free = 0;
  await model.decodeLatent(latent);
  const larger = float32([1, 4, 96, 96], new Float32Array(4 * 96 * 96));
  await assert.rejects(model.decodeLatent(larger), { code: 'too-large', message: /0\.101 GB are free/ });
});
