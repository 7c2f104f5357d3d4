/** Batches of several ranks: together they are those of one process with the whole batch, whatever is broken, with the same draws. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { BatchGenerator } from '../../src/training/data/batch-generator.ts';
import { type BatchOptions, type TrainingBatch, trainingBatches } from '../../src/training/data/batches.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import type { IndexedSource, Sample, SampleSource, ShardedSource } from '../../src/training/data/sample.ts';
import { sharedBatches } from '../../src/training/data/shared-batches.ts';
import { scaleByStd } from '../../src/training/latent/scale-by-std.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { joinBatches } from '../../src/tensor/batches.ts';
import { localRanks } from './local-ranks.ts';

const png = await nodeImageCodec.encode(createImage(8, 8, 3), { format: 'png' });
/** Of 23 samples four are broken, two beside each other. */
const sample = (i: number): Sample => ({
  name: `${i}`,
  image: [3, 4, 11, 17].includes(i) ? Uint8Array.of(1) : png,
  captions: ['a', 'b', 'c'],
  metadata: {},
});
const indexed: IndexedSource = { label: 'indexed', count: 23, read: async (i) => sample(i), close: async () => {} };
const sharded: ShardedSource = {
  label: 'sharded',
  shards: ['a', 'b', 'c'],
  async *open(shard, from = 0) {
    for (let i = from; i < 8 - (shard === 2 ? 1 : 0); i++) yield { sample: sample(8 * shard + i), position: i };
  },
  close: async () => {},
};
const options = (batchSize: number): BatchOptions => ({
  batchSize,
  seed: 5,
  buffer: 6,
  codec: nodeImageCodec,
  picture: { size: 8, crop: 'center', flip: 0.5, filter: 'bicubic' },
  problems: createProblems(),
});

async function first(batches: AsyncIterable<TrainingBatch>, count: number): Promise<TrainingBatch[]> {
  const out: TrainingBatch[] = [];
  for await (const batch of batches) if (out.push(batch) === count) break;
  return out;
}
const textOf = ({ items }: TrainingBatch): string => items.map(({ name, caption }) => `${name}${caption}`).join();

for (const source of [indexed, sharded] as readonly SampleSource[])
  test(`${source.label}: two and four ranks have together what one has, and go on from its state`, async () => {
    const whole = await first(trainingBatches(source, options(8)), 9);
    for (const size of [2, 4]) {
      const parts = await Promise.all(
        localRanks(size).map((ranks) => first(sharedBatches(source, options(8 / size), ranks), 6)),
      );
      for (let i = 0; i < 6; i++) {
        assert.equal(
          parts.map((batches) => textOf(batches[i] as TrainingBatch)).join(),
          textOf(whole[i] as TrainingBatch),
        );
        for (const batches of parts) {
          assert.deepEqual(batches[i]?.state, whole[i]?.state);
          assert.equal(batches[i]?.epoch, whole[i]?.epoch);
        }
      }
      assert.deepEqual(parts[1]?.[0]?.places, {
        rows: Array.from({ length: 8 / size }, (_, i) => 8 / size + i),
        total: 8,
      });
      const state = whole[5]?.state;
      const on = await Promise.all(
        localRanks(size).map((ranks) =>
          first(sharedBatches(source, { ...options(8 / size), ...(state ? { state } : {}) }, ranks), 3),
        ),
      );
      assert.equal(on.map((batches) => textOf(batches[2] as TrainingBatch)).join(), textOf(whole[8] as TrainingBatch));
    }
  });

test('a pass without one usable item ends every rank in the same words', async () => {
  const empty: IndexedSource = { ...indexed, read: async () => sample(3) };
  const ends = await Promise.allSettled(
    localRanks(2).map((ranks) => first(sharedBatches(empty, options(2), ranks), 1)),
  );
  for (const end of ends) assert.match(String(end.status === 'rejected' && end.reason), /a whole pass gave no item/);
});

test('draws depend on the place in the whole batch', () => {
  const draws = (generator: BatchGenerator, items: readonly string[]) => {
    const noise = generator.randn([items.length, 2, 3]);
    const t = generator.randint(0, 1000, [items.length]);
    const shares = generator.each(items, (item, own) => `${item}${own.uniform()}${own.integer(0, 9)}`);
    return { noise, t, shares, offset: generator.randn([items.length, 1]) };
  };
  const whole = draws(new BatchGenerator(7), ['a', 'b', 'c', 'd', 'e', 'f']);
  // Items of DreamBooth: a rank has instance items, and class items further behind.
  const rows = [
    [0, 1, 4],
    [2, 3, 5],
  ];
  const parts = rows.map((own) =>
    draws(
      new BatchGenerator(7, { rows: own, total: 6 }),
      own.map((row) => 'abcdef'[row] as string),
    ),
  );
  for (const [r, own] of rows.entries())
    for (const [i, row] of own.entries()) {
      const part = parts[r] as (typeof parts)[number];
      assert.equal(part.shares[i], whole.shares[row]);
      assert.equal(part.t.data[i], whole.t.data[row]);
      assert.equal(part.offset.data[i], whole.offset.data[row]);
      assert.deepEqual(part.noise.data.slice(6 * i, 6 * i + 6), whole.noise.data.slice(6 * row, 6 * row + 6));
    }
});

test('scale_by_std is of the whole first batch', async () => {
  const parts = [1, 2].map((seed) => new TorchGenerator(seed).normal([2, 3, 4, 4], seed, seed));
  const whole = await scaleByStd(joinBatches(parts));
  const ranks = localRanks(2);
  const factors = await Promise.all(parts.map((part, i) => scaleByStd(part, ranks[i])));
  for (const factor of factors) assert.ok(Math.abs(factor / whole - 1) < 1e-12);
});
