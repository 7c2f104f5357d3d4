/** DeepCache: which blocks each branch keeps. Its runs are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { cachedFeatures, deepCacheFull, deepCacheShallow } from '../../src/extensions/deep-cache.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { traceUNet } from '../../src/models/unet.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { randomWeights } from '../model/random-model.ts';
import { smallUNet } from '../networks.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const config = smallUNet({ channel_mult: [1, 2] });
const weights = randomWeights(config);
const wave = (shape: readonly number[], step: number): Tensor<'float32'> =>
  float32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * step)),
  );
const inputs = (step: number, timestep: number) => ({
  x: wave([1, config.in_channels, 8, 8], step),
  timesteps: float32([1], [timestep]),
  context: wave([1, 3, config.context_dim ?? 8], 0.7),
});
const now = inputs(0.37, 500);
const later = inputs(0.11, 400);

async function run(graph: Graph, given: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>> {
  await using program = await engine.compile(graph, weights);
  return program.run(given);
}

const far = ({ data: a }: Tensor, { data: b }: Tensor): number =>
  Math.max(...Array.from(a as Float32Array, (value, i) => Math.abs(value - (b[i] as number))));

/** Two levels with two blocks each in the second half: branches 0 to 5, three for each level, of which the third is the second again. */
for (const branch of [0, 1, 2, 3, 4, 5])
  test(`branch ${branch}: the shallow blocks on what the deep ones made are the whole network`, async () => {
    const full = await run(traceUNet(config, { extensions: [deepCacheFull(branch)] }), now);
    const features = full[cachedFeatures] as Tensor;
    const shallow = traceUNet(config, { extensions: [deepCacheShallow(branch)] });
    const again = await run(shallow, { ...now, [cachedFeatures]: features });
    assert.ok(far(again['out'] as Tensor, full['out'] as Tensor) < 1e-5);
    const next = await run(shallow, { ...later, [cachedFeatures]: features });
    const whole = await run(traceUNet(config), later);
    assert.ok(far(next['out'] as Tensor, whole['out'] as Tensor) > 1e-4);
  });

test('the deepest branch keeps the middle block alone; a deeper one is refused', async () => {
  const graph = traceUNet(config, { extensions: [deepCacheFull(4)], taps: ['middle_block'] });
  const full = await run(graph, now);
  assert.deepEqual((full[cachedFeatures] as Tensor).data, (full['intermediate.middle_block'] as Tensor).data);
  const shallow = traceUNet(config, { extensions: [deepCacheShallow(4)] });
  assert.ok(shallow.parameters.every(({ name }) => !name.startsWith('middle_block.')));
  assert.ok(shallow.parameters.some(({ name }) => name.startsWith('output_blocks.0.')));
  assert.throws(() => traceUNet(config, { extensions: [deepCacheFull(6)] }), {
    code: 'invalid-argument',
    message: "DeepCache's branch 6 is deeper than this UNet, which has 2 levels.",
  });
});
