/** Order and batches of training data: repeatable, resumed exactly, bad samples left out by name. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { type BatchOptions, trainingBatches } from '../../src/training/data/batches.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import type { ImageItem, IndexedSource, Sample, SampleSource, ShardedSource } from '../../src/training/data/sample.ts';
import { mixSeed, orderedSamples, type OrderState } from '../../src/training/data/sample-order.ts';
import { shardNames } from '../../src/training/data/shard-names-node.ts';
import { webDataset } from '../../src/training/data/webdataset.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { reference } from '../reference.ts';

const sample = (name: string): Sample => ({ name, latents: [float32([1], [1])], captions: [name], metadata: {} });

const indexed = (count: number): IndexedSource => ({
  label: 'numbers',
  count,
  read: async (i) => sample(String(i)),
  async close() {},
});

const sharded = (sizes: readonly number[]): ShardedSource => ({
  label: 'shards',
  shards: sizes.map((_, i) => `shard ${i}`),
  async *open(shard, position = 0) {
    for (let i = position; i < (sizes[shard] as number); i++) yield { sample: sample(`${shard}:${i}`), position: i };
  },
  async close() {},
});

async function take(source: SampleSource, count: number, options: Partial<Parameters<typeof orderedSamples>[1]> = {}) {
  const out = [];
  for await (const ordered of orderedSamples(source, { seed: 7, buffer: 8, ...options })) {
    out.push(ordered);
    if (out.length === count) break;
  }
  return out;
}

const sources: Readonly<Record<string, SampleSource>> = {
  indexed: indexed(23),
  sharded: sharded([5, 0, 40, 1, 300, 7]),
  'one shard': sharded([9]),
};

for (const [name, source] of Object.entries(sources)) {
  test(`order of ${name}: every sample once an epoch, another order each epoch, the same from the same seed`, async () => {
    const pass = await take(source, Number.POSITIVE_INFINITY, { repeat: false });
    const names = pass.map((ordered) => ordered.sample?.name);
    assert.equal(new Set(names).size, names.length);
    const twice = await take(source, 2 * names.length);
    assert.deepEqual(
      twice.slice(0, names.length).map((ordered) => ordered.sample?.name),
      names,
    );
    const second = twice.slice(names.length).map((ordered) => ordered.sample?.name);
    assert.deepEqual([...second].sort(), [...names].sort());
    if (names.length > 9) assert.notDeepEqual(second, names);
    assert.notDeepEqual(
      (await take(source, names.length, { seed: 8 })).map((ordered) => ordered.sample?.name),
      names,
    );
    assert.equal(new Set(twice.map((ordered) => ordered.seed)).size, twice.length);
    assert.deepEqual(
      (await take(source, names.length, { shuffle: false })).map((ordered) => ordered.sample?.name),
      [...names].sort((a, b) => (a as string).localeCompare(b as string, 'en', { numeric: true })),
    );
  });

  test(`order of ${name}: resumed after any sample it goes on exactly`, async () => {
    for (const buffer of [1, 4, 30, 150]) {
      const whole = await take(source, 500, { buffer });
      for (const at of [0, 1, 2, 7, 22, 23, 24, 45, 46, 60, 118, 300, 352, 353]) {
        const state: OrderState = JSON.parse(JSON.stringify(whole[at]?.state));
        assert.deepEqual(await take(source, 60, { buffer, state }), whole.slice(at + 1, at + 61));
      }
    }
  });
}

test('order: the state of another kind of data, or of more data, is refused', async () => {
  const [first] = await take(indexed(5), 1);
  assert.ok(first);
  assert.throws(() => orderedSamples(sharded([3]), { seed: 1, state: first.state }), { code: 'config-invalid' });
  await assert.rejects(take(indexed(5), 1, { state: { kind: 'indexed', epoch: 0, drawn: 6 } }), {
    code: 'config-invalid',
  });
  await assert.rejects(
    take(sharded([3]), 1, { state: { kind: 'sharded', epoch: 0, drawn: 6, begun: 1, position: 2, buffer: [[0, 9]] } }),
    { code: 'config-invalid' },
  );
});

test('order: the permutation is torch.randperm of the seed of the epoch', async () => {
  const order = (await take(indexed(23), 23)).map((ordered) => Number(ordered.sample?.name));
  assert.deepEqual(order, [...new TorchGenerator(mixSeed(7, 0)).randperm(23)]);
});

const datasets = reference('files/datasets');

async function webBatches(options: Partial<BatchOptions> = {}) {
  const problems = createProblems();
  const source = webDataset({
    shards: await shardNames(join(datasets, '{00000.tar,00002-truncated.tar,00001.tar,00004-empty.tar,00005.tar.gz}')),
    open: openFile,
    problems,
  });
  const all: BatchOptions = {
    seed: 3,
    batchSize: 4,
    buffer: 10,
    codec: nodeImageCodec,
    picture: { size: 32, crop: 'random', flip: 0.5 },
    problems,
    ...options,
  };
  return { problems, batches: trainingBatches(source, all) };
}

test('batches from damaged shards: bad samples are counted by name, good ones go on; the same again from the state of any batch', async () => {
  const { problems, batches } = await webBatches();
  const first = [];
  for await (const batch of batches) if (first.push(batch) === 12) break;
  for (const { items } of first) {
    assert.equal(items.length, 4);
    for (const item of items as ImageItem[]) assert.deepEqual([item.image.width, item.image.height], [32, 32]);
  }
  assert.ok(first.at(-1)?.epoch === 2 || (first.at(-1)?.epoch as number) > 0);
  const counts = problems.counts();
  for (const kind of ['corrupt-image', 'truncated-shard', 'missing-image', 'corrupt-metadata', 'unsafe-name'] as const)
    assert.ok(counts.get(kind), kind);
  assert.ok(problems.summary().includes('corrupt-image') && problems.summary().includes('000000002'));
  for (const at of [0, 3, 7]) {
    const again = [];
    const state: OrderState = JSON.parse(JSON.stringify(first[at]?.state));
    for await (const batch of (await webBatches({ state, ahead: 1 })).batches) if (again.push(batch) === 4) break;
    assert.deepEqual(again, first.slice(at + 1, at + 5));
  }
});

test('batches of one pass end with a smaller one; captions may be demanded or given', async () => {
  const source: IndexedSource = {
    ...indexed(7),
    read: async (i) => ({ ...sample(String(i)), captions: i < 5 ? [`caption ${i}`] : [] }),
  };
  const run = async (options: Partial<BatchOptions>) => {
    const problems = createProblems();
    const sizes: string[][] = [];
    for await (const { items } of trainingBatches(source, {
      seed: 1,
      shuffle: false,
      repeat: false,
      batchSize: 3,
      codec: nodeImageCodec,
      picture: { size: 8 },
      problems,
      ...options,
    }))
      sizes.push(items.map(({ caption }) => caption));
    return { sizes, missing: problems.counts().get('missing-caption')?.count };
  };
  assert.deepEqual(await run({}), {
    sizes: [['caption 0', 'caption 1', 'caption 2'], ['caption 3', 'caption 4', ''], ['']],
    missing: 2,
  });
  assert.deepEqual(await run({ missingCaption: 'skip' }), {
    sizes: [
      ['caption 0', 'caption 1', 'caption 2'],
      ['caption 3', 'caption 4'],
    ],
    missing: 2,
  });
  assert.deepEqual(await run({ missingCaption: { caption: 'x' } }), {
    sizes: [['caption 0', 'caption 1', 'caption 2'], ['caption 3', 'caption 4', 'x'], ['x']],
    missing: undefined,
  });
});

test('batches: where everything is left out, a pass ends with what was wrong', async () => {
  const { batches } = await webBatches({ filter: { minimumAesthetics: 11 } });
  await assert.rejects(batches.next(), { code: 'invalid-argument', message: /filtered: \d+/ });
});
