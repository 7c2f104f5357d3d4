/** Linear layers on GGUF's blocks as they are stored: the results of the same weights in float32, and which layers are run so. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { prepared } from '../../src/engine/quantised.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { writeGguf } from '../../src/formats/gguf-write.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { linear, mul, slice } from '../../src/graph/functions.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { traceLike } from '../graph/run-graph.ts';
import { maxDifference } from '../parity.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const random = new TorchGenerator(4);
const shapes = { 'a.weight': [96, 64], 'a.bias': [96], 'b.weight': [128, 96], 'b.bias': [128], 'c.weight': [40, 64] };
const tensors = new Map(Object.entries(shapes).map(([name, shape]) => [name, random.randn(shape)] as const));
const x = random.randn([2, 5, 64]);

/** A layer, one of which the halves are used, and one whose weight the file has in float32. */
const graph = traceLike({ x }, ({ x: input }, p) => {
  const a = linear(input as never, p.get('a.weight', [96, 64]), p.get('a.bias', [96]));
  const b = linear(a, p.get('b.weight', [128, 96]), p.get('b.bias', [128]));
  const c = linear(mul(slice(b, 2, 0, 64), slice(b, 2, 64, 128)), p.get('c.weight', [40, 64]));
  return { out: c };
});

async function file(dtype: 'q4_0' | 'q8_0' | 'q5_0'): Promise<WeightSource> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeGguf(memoryWeights(tensors, 'x'), { dtype })) chunks.push(chunk.slice());
  return openWeights(memoryBytes(new Uint8Array(Buffer.concat(chunks)), 'x.gguf'));
}

async function run(weights: WeightSource): Promise<Tensor> {
  const program = await engine.compile(graph, weights, { precision: 'float32' });
  try {
    return (await program.run({ x }))['out'] as Tensor;
  } finally {
    await program.dispose();
  }
}

for (const dtype of ['q4_0', 'q8_0'] as const)
  test(`${dtype}: layers on the blocks give what the widened weights give`, async () => {
    const weights = await file(dtype);
    const made = await prepared('cpu', graph, weights, {});
    assert.deepEqual(
      made.graph.parameters.map(({ name }) => name),
      [
        ...['a.bias', 'b.bias', 'a.weight blocks', 'a.weight scales'],
        ...['b.weight[0:64] blocks', 'b.weight[0:64] scales'],
        ...['b.weight[64:128] blocks', 'b.weight[64:128] scales'],
        ...['c.weight blocks', 'c.weight scales'],
      ],
    );
    const { blocks: _, ...widened } = weights;
    const [own, float32] = [await run(weights), await run(widened)];
    const largest = (float32.data as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    assert.ok(maxDifference(own, float32) < 2e-6 * largest, `${maxDifference(own, float32)} of ${largest}`);
    await weights.close();
  });

test('other types are widened, and so are all on a graphics card and in lower precision', async () => {
  const [q5, q4] = [await file('q5_0'), await file('q4_0')];
  assert.equal((await prepared('cpu', graph, q5, {})).graph, graph);
  assert.equal((await prepared('webgpu', graph, q4, {})).graph, graph);
  assert.equal((await prepared('cpu', graph, q4, { precision: 'float16' })).graph, graph);
});
