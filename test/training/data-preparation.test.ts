/** Preparation of training data: filters, sizes, decoding ahead and bounded, latents on disk. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { trainingBatches } from '../../src/training/data/batches.ts';
import { cacheKey, latentCache, writeLatentCache } from '../../src/training/data/latent-cache-node.ts';
import { prefetch } from '../../src/training/data/prefetch.ts';
import { mirror, preparePicture } from '../../src/training/data/prepare-picture.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import type { LatentItem } from '../../src/training/data/sample.ts';
import { rejection } from '../../src/training/data/sample-filter.ts';

test('filters by the fields of LAION, and what is not known', () => {
  const metadata = {
    AESTHETIC_SCORE: 5.4,
    punsafe: 0.2,
    pwatermark: 0.1,
    NSFW: 'UNLIKELY',
    original_width: 600,
    original_height: 500,
    similarity: 0.3,
  };
  const passes = (filter: Parameters<typeof rejection>[0], of: Record<string, unknown> = metadata) =>
    rejection(filter, of) === undefined;
  assert.ok(
    passes({
      minimumAesthetics: 5,
      maximumWatermark: 0.5,
      maximumUnsafe: 0.5,
      nsfw: ['UNLIKELY'],
      minimumSize: 500,
      minimumSimilarity: 0.28,
      maximumAspect: 2,
    }),
  );
  assert.ok(
    !passes({ minimumAesthetics: 5.5 }) &&
      !passes({ maximumWatermark: 0.05 }) &&
      !passes({ maximumUnsafe: 0.1 }) &&
      !passes({ nsfw: ['UNSURE'] }) &&
      !passes({ minimumSize: 512 }) &&
      !passes({ minimumSimilarity: 0.4 }) &&
      !passes({ maximumAspect: 1.1 }),
  );
  assert.ok(
    !passes({ minimumAesthetics: 5 }, {}) &&
      passes({ minimumAesthetics: 5, unknown: 'keep' }, {}) &&
      !passes({ nsfw: ['UNLIKELY'] }, {}),
  );
  assert.ok(passes({ minimumSize: 512 }, {}));
  assert.equal(
    rejection({ minimumSize: 512 }, {}, { width: 511, height: 600 }),
    'its size is 511x600, and the limit 512',
  );
  assert.ok(passes({ minimumAesthetics: 5 }, { aesthetic_score: '5.25' }));
});

test('preparation: sizes and positions of torchvision, pixels of Pillow, mirrored', () => {
  const picture = createImage(
    10,
    4,
    3,
    Uint8Array.from({ length: 120 }, (_, i) => Math.floor(i / 3) % 10),
  );
  const columns = (image: { data: Uint8Array; width: number }) =>
    Array.from({ length: image.width }, (_, x) => image.data[x * 3]);
  assert.deepEqual(columns(preparePicture(picture, { size: 4 }, new TorchGenerator(1))), [3, 4, 5, 6]);
  assert.deepEqual(columns(preparePicture(picture, { size: 4, flip: 1 }, new TorchGenerator(1))), [6, 5, 4, 3]);
  const odd = createImage(
    9,
    4,
    3,
    Uint8Array.from({ length: 108 }, (_, i) => Math.floor(i / 3) % 9),
  );
  assert.deepEqual(columns(preparePicture(odd, { size: 4 }, new TorchGenerator(1))), [2, 3, 4, 5]); // round(2.5) is 2
  const generator = new TorchGenerator(5);
  const [top, left] = [generator.integer(0, 1), generator.integer(0, 7)];
  assert.deepEqual(
    [top, columns(preparePicture(picture, { size: 4, crop: 'random' }, new TorchGenerator(5)))],
    [0, [left, left + 1, left + 2, left + 3]],
  );
  const small = preparePicture(createImage(7, 3, 3), { size: 16 }, new TorchGenerator(1));
  assert.deepEqual([small.width, small.height], [16, 16]);
  assert.deepEqual(mirror(mirror(picture)), picture);
  const clear = createImage(4, 4, 4);
  assert.equal(preparePicture(clear, { size: 4, background: [255, 255, 255] }, generator).data[0], 255);
  assert.equal(preparePicture(clear, { size: 4 }, generator).data[0], 0);
});

test('prefetch: in order, never more than wanted ahead, at work while the user is; errors at their place', async () => {
  let read = 0;
  let finished = 0;
  async function* numbers(count: number) {
    for (let i = 0; i < count; i++) {
      read++;
      yield i;
    }
  }
  const out: number[] = [];
  for await (const value of prefetch(
    numbers(20),
    async (i) => {
      await new Promise((resolve) => setImmediate(resolve));
      finished++;
      return i;
    },
    { ahead: 4 },
  )) {
    out.push(value);
    if (value === 3) {
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual([read, finished], [8, 8]); // four used, four ready
    }
  }
  assert.deepEqual(
    out,
    Array.from({ length: 20 }, (_, i) => i),
  );
  const got: number[] = [];
  await assert.rejects(async () => {
    for await (const value of prefetch(
      numbers(9),
      async (i) => {
        if (i === 5) throw new Error('five');
        return i;
      },
      { ahead: 3 },
    ))
      got.push(value);
  }, /five/);
  assert.deepEqual(got, [0, 1, 2, 3, 4]);
  let closed = false;
  async function* endless() {
    try {
      for (let i = 0; ; i++) yield i;
    } finally {
      closed = true;
    }
  }
  for await (const value of prefetch(endless(), async (i) => i, { ahead: 2 })) if (value === 2) break;
  assert.ok(closed);
});

test('two runs that fill one cache at once keep each other’s files', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'latents-'));
  try {
    const options = { fingerprint: 'x', shardSize: 2 };
    const writers = await Promise.all([writeLatentCache(folder, options), writeLatentCache(folder, options)]);
    const fill = async (which: 0 | 1): Promise<void> => {
      for (let i = 0; i < 6; i++) {
        const latents = [float32([1], [i])];
        await writers[which].add({ name: `run ${which}`, digest: String(i), captions: [], metadata: {}, latents });
      }
      await writers[which].finish();
    };
    await Promise.all([fill(0), fill(1)]);
    const cache = await latentCache(folder, options);
    assert.equal(cache.count, 12);
    await cache.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('latents on disk: what was written is read, cut-off work goes on, other settings are refused', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'latents-'));
  try {
    const make = (i: number) => ({
      name: `p${i}`,
      digest: `d${i}`,
      captions: [`caption ${i}`, 'é猫'],
      metadata: { width: i },
      latents: [new TorchGenerator(i).randn([4, 2, 2]), new TorchGenerator(100 + i).randn([4, 2, 2])],
    });
    const options = { fingerprint: 'kl-f8 size 16', shardSize: 3 };
    const first = await writeLatentCache(folder, options);
    for (let i = 0; i < 5; i++) await first.add(make(i)); // cut off: two of them were never written
    const second = await writeLatentCache(folder, options);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((i) => second.has(cacheKey(`p${i}`, `d${i}`))),
      [true, true, true, false, false],
    );
    for (let i = 0; i < 7; i++) await second.add(make(i));
    await second.finish();
    assert.deepEqual(readdirSync(folder).sort(), [
      'latents-00000.safetensors',
      'latents-00001.safetensors',
      'latents-00002.safetensors',
    ]);
    const cache = await latentCache(folder, options);
    assert.equal(cache.count, 7);
    for (let i = 0; i < 7; i++) {
      const { digest: _, ...sample } = make(i);
      assert.deepEqual(await cache.read(i), sample);
    }
    const some = await latentCache(folder, {
      ...options,
      wanted: ['p4 d4', 'p2 d2', 'p3 x', 'p2 d2'].map((key) => cacheKey(...(key.split(' ') as [string, string]))),
    });
    const names: (string | undefined)[] = [];
    for (let i = 0; i < some.count; i++) names.push((await some.read(i))?.name);
    assert.deepEqual(names, ['p4', 'p2', 'p2'], 'in the order that is wanted');
    await some.close();
    await assert.rejects(latentCache(folder, { ...options, dtype: 'float16' }), { code: 'config-invalid' });
    const problems = createProblems();
    const seen = new Set<string>();
    for await (const { items } of trainingBatches(cache, {
      seed: 1,
      batchSize: 7,
      codec: nodeImageCodec,
      picture: { size: 16 },
      problems,
    })) {
      for (const item of items as LatentItem[]) seen.add(`${item.name} ${item.latents.data[0]} ${item.caption}`);
      if (seen.size === 28) break; // each picture in both ways with both captions
    }
    await cache.close();
    const path = join(folder, 'latents-00000.safetensors');
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const flipped = await latentCache(folder, options);
    await assert.rejects(flipped.read(2), { code: 'file-corrupt', message: /latents-00000.*its latents of p2/ });
    await flipped.close();
    await assert.rejects(latentCache(folder, { fingerprint: 'kl-f8 size 32' }), { code: 'config-invalid' });
    await assert.rejects(writeLatentCache(folder, { fingerprint: 'other' }), { code: 'config-invalid' });
    await assert.rejects(second.add({ ...make(9), latents: [float32([1], [Number.NaN])] }), { code: 'not-finite' });
    await assert.rejects(writeLatentCache(folder, { ...options, dtype: 'float16' }), { code: 'config-invalid' });
    await assert.rejects(
      (await writeLatentCache(join(folder, 'half'), { ...options, dtype: 'float16' })).add({
        ...make(9),
        latents: [float32([1], [1e6])],
      }),
      { code: 'not-finite' },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
