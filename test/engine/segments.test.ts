/** Networks that are packed in segments: the same results as in one piece, run after run and for other sizes. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CrossingBuffers, crossingsOf, crossingValues } from '../../src/engine/crossing.ts';
import { MemoryFolder } from '../../src/engine/memory-folder-node.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { dim } from '../../src/graph/dim.ts';
import { add, linear, silu } from '../../src/graph/functions.ts';
import { partition } from '../../src/graph/partition.ts';
import { trace } from '../../src/graph/trace.ts';
import { networkDefinition } from '../../src/models/index.ts';
import { convert } from '../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { openCheckpointAt } from '../../src/checkpoints/index-node.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';

const [width, layers] = [8, 6];

/** Layers of which each adds to the first one's result, so that a value crosses all segments. */
const graph = trace({ x: { dtype: 'float32', shape: [dim('rows'), width] } }, ({ x }, p) => {
  const first = linear(x, p.at('0').get('weight', [width, width]));
  let value = first;
  for (let i = 1; i < layers; i++)
    value = add(first, silu(linear(value, p.at(String(i)).get('weight', [width, width]))));
  return { first, y: value };
});

const weights = memoryWeights(
  new Map<string, Tensor>(
    Array.from({ length: layers }, (_, layer) => [
      `${layer}.weight`,
      convert(
        float32(
          [width, width],
          Array.from({ length: width * width }, (__, i) => Math.sin(layer + i) / 4),
        ),
        'float16',
      ),
    ]),
  ),
);

const input = (rows: number): Tensor =>
  float32(
    [rows, width],
    Array.from({ length: rows * width }, (_, i) => Math.cos(i)),
  );

test('segments cost at most what the limit leaves, and hold every node once', () => {
  const segments = partition(
    graph,
    (left) => Math.max(2, left / 2),
    () => 1,
  );
  assert.deepEqual(
    segments.map(({ parameters }) => parameters.length),
    [3, 2, 1],
  );
  assert.deepEqual(
    segments.flatMap(({ nodes }) => nodes),
    graph.nodes,
  );
});

test('a program in segments computes what a program in one piece does', async () => {
  await using one = createNodeEngine({ threads: 1 });
  const whole = await one.compile(graph, weights);
  for (const memoryFiles of [true, false]) {
    await using many = createNodeEngine({ threads: 1, packAtOnce: width * width, memoryFiles });
    const parts = await many.compile(graph, weights);
    for (const rows of [3, 3, 5, 3]) {
      const [want, got] = [await whole.run({ x: input(rows) }), await parts.run({ x: input(rows) })];
      assert.deepEqual(got, want);
    }
    assert.deepEqual(Object.keys(await parts.run({ x: input(1) }, { outputs: ['y'] })), ['y']);
  }
});

test('a float16 file computes the same in segments, from files in memory and through buffers', async () => {
  const checkpoint = await openCheckpointAt(fileURLToPath(new URL('../../models/pocket.safetensors', import.meta.url)));
  const config = checkpoint.config.first_stage_config;
  const decode = networkDefinition(config)
    .parts(config)
    ['decode']?.({ outputs: ['decoded'] });
  assert.ok(decode);
  const latent = {
    z: float32(
      [1, 4, 4, 4],
      Array.from({ length: 64 }, (_, i) => Math.sin(i)),
    ),
  };
  const results: Record<string, Tensor>[] = [];
  for (const options of [{}, { packAtOnce: 2 ** 20 }, { packAtOnce: 2 ** 20, memoryFiles: false }]) {
    await using engine = createNodeEngine({ threads: 1, ...options });
    results.push(await (await engine.compile(decode, checkpoint.parts.first_stage)).run(latent));
  }
  await checkpoint.close();
  const [one, ...others] = results;
  for (const other of others) assert.deepEqual(other, one);
});

test('a folder in memory: the room is asked for first, and files that a killed process left are removed', {
  skip: process.platform !== 'linux' && 'Linux only',
}, async (context) => {
  assert.equal(MemoryFolder.make(Number.MAX_SAFE_INTEGER), undefined);
  const before = MemoryFolder.make(1);
  assert.ok(before);
  const [, pid, start, namespace] = /-(\d+)-(\d+)-(\d+)-\w+$/.exec(before.path) ?? [];
  const orphans = [`999999999-${start}-${namespace}`, `${pid}-1-${namespace}`].map(
    (who) => `/dev/shm/stable-diffusion-ts-${who}-test`,
  );
  const foreign = `/dev/shm/stable-diffusion-ts-999999999-${start}-1-test`;
  context.after(() => rm(foreign, { recursive: true }));
  for (const path of [...orphans, foreign]) await mkdir(path, { recursive: true });
  const folder = MemoryFolder.make(1);
  assert.ok(folder);
  for (const orphan of orphans) assert.ok(!existsSync(orphan));
  assert.ok(existsSync(foreign), "that of another container's process stays");
  assert.ok(existsSync(before.path), 'that of a living process stays');
  before.dispose();
  const file = await folder.write([{ name: '0.weight', dtype: 'float32' }], weights);
  const { location, offset, length } = file.storage('0.weight');
  assert.deepEqual([location, offset, length], ['weights-0', 0, width * width * 4]);
  await file.remove();
  assert.deepEqual(await readdir(folder.path), []);
  folder.dispose();
  assert.ok(!existsSync(folder.path));
});

test('what crosses is written to the buffers of values that are no longer read', () => {
  const values = crossingValues(
    graph,
    partition(
      graph,
      () => 1,
      () => 1,
    ),
  );
  const [first, second] = crossingsOf(graph, values, { x: input(3) });
  assert.ok(first && second);
  assert.deepEqual([first.shape, first.dtype], [[3, width], 'float32']);
  const buffers = new CrossingBuffers();
  buffers.begin([first, second]);
  const [a, b] = [buffers.take(first), buffers.take(second)];
  assert.notEqual(a.data.buffer, b.data.buffer);
  buffers.giveBack(a);
  assert.equal(buffers.take(second).data.buffer, a.data.buffer);
  buffers.giveBack(b);
  buffers.begin(crossingsOf(graph, values, { x: input(4) }));
  buffers.begin([first, second]);
  assert.notEqual(buffers.take(first).data.buffer, b.data.buffer);
});
