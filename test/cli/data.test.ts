/** `sd data`: counts and filters over every kind of data set, scores, and runs that were stopped. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { aestheticHead } from '../../src/evaluation/aesthetic.ts';
import { clipScore } from '../../src/evaluation/clip-score.ts';
import { filterDataSet } from '../../src/evaluation/data-set/filter-data-set-node.ts';
import { featuresNetwork } from '../../src/evaluation/features.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { openData } from '../../src/training/data/open-data-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import type { EncodedSample, IndexedSource, SampleSource } from '../../src/training/data/sample.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { smallClip } from '../evaluation/small-clip.ts';
import { tarOf } from '../training/tar-of.ts';
import { sd, temporaryFolder } from './run-cli.ts';

/** A picture of noise in blocks, whose hash is far from that of other seeds. */
function blocks(seed: number, width = 48, height = 40, brighter = 0): Image<3> {
  const colours = new TorchGenerator(seed).randint(0, 240, [64]).data;
  const image = createImage(width, height, 3);
  for (let i = 0; i < image.data.length; i++) {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    image.data[i] = Number(colours[Math.floor((8 * y) / height) * 8 + Math.floor((8 * x) / width)]) + brighter;
  }
  return image;
}

const png = (image: Image): Promise<Uint8Array> => nodeImageCodec.encode(image, { format: 'png' });

/** Two shards as img2dataset writes them. */
async function img2dataset(folder: string): Promise<string> {
  const data = join(folder, 'laion');
  mkdirSync(data);
  const row = async (key: string, image: Uint8Array, caption: string, metadata: object) =>
    [
      [`${key}.jpg`, image],
      [`${key}.txt`, caption],
      [`${key}.json`, JSON.stringify({ key, caption, ...metadata })],
    ] as const;
  const files = [
    await row('000000000', await png(blocks(1)), 'a red house', {
      LANGUAGE: 'en',
      original_width: 900,
      original_height: 600,
    }),
    await row('000000001', await png(blocks(1, 96, 80, 5)), 'the same house', { LANGUAGE: 'en' }),
    await row('000000002', await png(blocks(2, 48, 12)), 'a wide picture', { LANGUAGE: 'en' }),
    await row('000000003', await png(blocks(3)), 'ein Haus am See', { LANGUAGE: 'de' }),
    await row('000000004', new Uint8Array([1, 2, 3]), 'no picture', { LANGUAGE: 'en' }),
    await row('000010000', await png(blocks(4)), 'x', { LANGUAGE: 'en' }),
    await row('000010001', await png(blocks(5)), 'without a language', {}),
    await row('000010002', await png(blocks(6)), 'a good picture', { LANGUAGE: 'en' }),
  ];
  writeFileSync(join(data, '00000.tar'), tarOf(files.slice(0, 5).flat()));
  writeFileSync(join(data, '00001.tar'), tarOf(files.slice(5).flat()));
  writeFileSync(join(data, '00000.parquet'), 'the table of the shard');
  writeFileSync(join(data, '00000_stats.json'), '{}');
  return data;
}

async function samplesOf(path: string): Promise<EncodedSample[]> {
  const source = (await openData(path, { problems: createProblems() })) as Exclude<SampleSource, IndexedSource>;
  const samples: EncodedSample[] = [];
  for (const shard of source.shards.keys())
    for await (const { sample } of source.open(shard)) samples.push(sample as EncodedSample);
  await source.close();
  return samples;
}

test('filter keeps what passes, with captions and metadata, and counts the reasons of the rest', async (context) => {
  const folder = temporaryFolder(context);
  const data = await img2dataset(folder);
  const out = join(folder, 'out');
  const words = ['--min-size', '30', '--max-aspect', '2', '--min-caption', '5', '--language', 'en'];
  const run = await sd(['data', 'filter', data, '-o', out, ...words, '--phash-distance', '4', '--json']);
  assert.equal(run.code, 0, run.err);
  assert.deepEqual(JSON.parse(run.out), {
    path: out,
    shards: 1,
    counts: { read: 8, kept: 2, duplicate: 1, size: 1, language: 2, picture: 1, caption: 1 },
  });
  assert.match(run.err, /000000004/);
  const kept = await samplesOf(join(out, '00000.tar'));
  assert.deepEqual(
    kept.map(({ captions }) => captions),
    [['a red house'], ['a good picture']],
  );
  const { metadata, image } = kept[0] as EncodedSample;
  assert.equal(metadata.original_width, 900);
  assert.equal(metadata.source, '00000.tar:000000000');
  assert.match(String(metadata.phash), /^[0-9a-f]{16}$/);
  assert.deepEqual(image, await png(blocks(1)));
  assert.deepEqual(readdirSync(out).sort(), ['00000.phash', '00000.tar', 'manifest.json']);

  const again = await sd(['data', 'filter', data, '-o', out, ...words, '--phash-distance', '4']);
  assert.match(again.out, /1 shard\n/);
  const other = await sd(['data', 'filter', data, '-o', out, '--min-size', '8']);
  assert.match(other.err, /holds shards of other settings \(filter\)/);
  const unknown = ['-o', join(folder, 'unknown'), '--language', 'en,fr', '--keep-unknown', '--json'];
  const { counts } = JSON.parse((await sd(['data', 'filter', data, ...unknown])).out);
  assert.deepEqual(counts, { read: 8, kept: 6, language: 1, picture: 1 });
  const taken = await sd(['data', 'filter', data, '-o', data]);
  assert.match(taken.err, /is not empty/);
});

test("img2dataset's folders of files are read with captions and metadata", async (context) => {
  const folder = temporaryFolder(context);
  mkdirSync(join(folder, '00000'));
  writeFileSync(join(folder, '00000.parquet'), 'the table of the folder');
  const files = [
    ['000000000.jpg', await png(blocks(1))],
    ['000000000.txt', 'a red house'],
    ['000000000.json', JSON.stringify({ key: '000000000', LANGUAGE: 'en', pwatermark: 0.25 })],
    ['000000001.jpg', await png(blocks(2))],
    ['000000001.json', JSON.stringify({ caption: 'a blue house', LANGUAGE: 'en' })],
    ['000000002.jpg', await png(blocks(3))],
    ['000000002.json', '[1]'],
  ] as const;
  for (const [name, content] of files) writeFileSync(join(folder, '00000', name), content);
  const out = join(folder, 'out');
  const run = await sd(['data', 'filter', folder, '-o', out, '--language', 'en']);
  assert.equal(run.code, 0, run.err);
  assert.match(run.err, /000000002\.json is not a JSON object/);
  const kept = await samplesOf(join(out, '00000.tar'));
  assert.deepEqual(
    kept.map(({ captions, metadata }) => [captions, metadata.pwatermark]),
    [
      [['a red house'], 0.25],
      [['a blue house'], undefined],
    ],
  );
});

async function writeWeights(path: string, source: WeightSource): Promise<void> {
  await writeFileAtomic(
    path,
    writeSafetensors(source.entries.values(), ({ name }) => source.read(name)),
  );
}

/** A folder of seven pictures with captions, a CLIP and predictors of both versions. */
async function scored(context: TestContext) {
  const folder = temporaryFolder(context);
  const data = join(folder, 'photos');
  mkdirSync(data);
  for (let i = 0; i < 7; i++) {
    writeFileSync(join(data, `${i}.png`), await png(blocks(i)));
    writeFileSync(join(data, `${i}.txt`), `picture ${i} of a house`);
  }
  const generator = new TorchGenerator(5);
  const linear = (name: string, out: number, width: number) =>
    [
      [`${name}weight`, generator.randn([out, width])],
      [`${name}bias`, generator.randn([out])],
    ] as const;
  const heads = [
    memoryWeights(new Map(linear('', 1, 8))),
    memoryWeights(new Map([...linear('layers.0.', 16, 8), ...linear('layers.2.', 1, 16)])),
  ] as const;
  const clip = smallClip();
  await writeWeights(join(folder, 'clip.safetensors'), clip);
  for (const [i, head] of heads.entries()) await writeWeights(join(folder, `v${i + 1}.safetensors`), head);
  return { folder, data, clip, heads };
}

test('CLIP and both predictors score what passes, and filter by the scores', async (context) => {
  const { folder, data, clip, heads } = await scored(context);
  await using engine = await createNodeEngine({ threads: 1 });
  await using network = featuresNetwork(engine, clip);
  const indices = Array.from({ length: 7 }, (_, i) => i);
  const { features } = await network.pictures(indices.map((i) => blocks(i)));
  assert.ok(network.texts);
  const { cosines } = clipScore(features, await network.texts(indices.map((i) => `picture ${i} of a house`)));
  for (const [i, head] of heads.entries()) {
    const ratings = (await aestheticHead(head)).score(features);
    const limit = [...ratings].sort((a, b) => a - b)[3] as number;
    const least = [...cosines].sort((a, b) => a - b)[1] as number;
    const expected = indices.filter((at) => (ratings[at] as number) > limit && (cosines[at] as number) >= least);
    const out = join(folder, `out${i}`);
    const files = ['--clip', join(folder, 'clip.safetensors'), '--aesthetic', join(folder, `v${i + 1}.safetensors`)];
    const limits = ['--min-clip-score', String(least), '--min-aesthetic', String(limit), '--threads', '1'];
    const run = await sd(['data', 'filter', data, '-o', out, ...files, ...limits]);
    assert.equal(run.code, 0, run.err);
    const kept = await samplesOf(join(out, '00000.tar'));
    assert.deepEqual(
      kept.map(({ metadata }) => metadata.source),
      expected.map((at) => `${at}.png`),
    );
    for (const { metadata } of kept) {
      const at = Number.parseInt(String(metadata.source), 10);
      assert.ok(Math.abs(Number(metadata.AESTHETIC_SCORE) - (ratings[at] as number)) < 1e-5);
      assert.ok(Math.abs(Number(metadata.similarity) - (cosines[at] as number)) < 1e-6);
    }
  }
  const wide = memoryWeights(
    new Map([
      ['weight', new TorchGenerator(1).randn([1, 9])],
      ['bias', new TorchGenerator(1).randn([1])],
    ]),
  );
  await writeWeights(join(folder, 'wide.safetensors'), wide);
  const words = ['--clip', join(folder, 'clip.safetensors'), '--aesthetic', join(folder, 'wide.safetensors')];
  assert.match((await sd(['data', 'stats', data, ...words, '--threads', '1'])).err, /features of 9 elements/);
});

test('a run that is stopped after any sample ends with the shards of the whole run', async (context) => {
  const folder = temporaryFolder(context);
  const data = join(folder, 'data');
  mkdirSync(data);
  // Every third picture is a duplicate of the one three before.
  const files = [];
  for (let i = 0; i < 40; i++) {
    const image = await png(blocks(i % 3 === 0 ? Math.floor(i / 6) * 6 : i, 32, 32));
    files.push(
      [`${String(i).padStart(4, '0')}.png`, image] as const,
      [`${String(i).padStart(4, '0')}.txt`, `n ${i}`] as const,
    );
  }
  writeFileSync(join(data, '0.tar'), tarOf(files.slice(0, 50)));
  writeFileSync(join(data, '1.tar'), tarOf(files.slice(50)));
  const run = async (out: string, stopAfter = Number.POSITIVE_INFINITY) => {
    const problems = createProblems();
    const whole = (await openData(data, { problems })) as Exclude<SampleSource, IndexedSource>;
    let read = 0;
    const source: SampleSource = {
      ...whole,
      async *open(...words) {
        for await (const placed of whole.open(...words)) {
          if (++read > stopAfter) throw new Error('stopped');
          yield placed;
        }
      },
    };
    const filter = { duplicateDistance: 2 };
    const common = { source, codec: nodeImageCodec, problems, filter, settings: {}, shardSize: 7 };
    return filterDataSet({ ...common, folder: join(folder, out) });
  };
  const whole = await run('whole');
  assert.deepEqual(whole?.counts, { read: 40, kept: 33, duplicate: 7 });
  const names = readdirSync(join(folder, 'whole')).sort();
  assert.equal(names.filter((name) => name.endsWith('.tar')).length, 5);
  for (const stops of [[1], [17, 17, 17], [33, 16, 20], [39, 1]]) {
    const out = `stopped-${stops.join('-')}`;
    for (const stop of stops) await assert.rejects(run(out, stop), /stopped/);
    assert.ok(readdirSync(join(folder, out)).every((name) => !name.endsWith('.tmp')));
    await run(out);
    assert.deepEqual(readdirSync(join(folder, out)).sort(), names);
    for (const name of names)
      assert.ok(
        readFileSync(join(folder, out, name)).equals(readFileSync(join(folder, 'whole', name))),
        `${out} ${name}`,
      );
  }
});

test('stats counts a data set and draws its distributions', async (context) => {
  const folder = temporaryFolder(context);
  const data = await img2dataset(folder);
  const out = join(folder, 'stats');
  const run = await sd(['data', 'stats', data, '-o', out]);
  assert.equal(run.code, 0, run.err);
  assert.match(run.out, /^samples +8\nkept +7\n/);
  assert.match(run.out, /languages +en 5, de 1\n/);
  assert.deepEqual(readdirSync(out).sort(), ['aspects.svg', 'captions.svg', 'sizes.svg', 'stats.json']);
  const { counts, formats, distributions } = JSON.parse(readFileSync(join(out, 'stats.json'), 'utf8'));
  assert.deepEqual([counts.read, counts.picture, formats.png], [8, 1, 7]);
  assert.deepEqual(distributions.sizes.counts, [
    [0, 1],
    [32, 5],
    [64, 1],
  ]);
  assert.match(readFileSync(join(out, 'sizes.svg'), 'utf8'), /^<svg .*Sizes/s);
  assert.match((await sd(['data', 'stats', data, '-o', out])).err, /exists already/);
});

test('options without what they need are refused before anything is read', async (context) => {
  const folder = temporaryFolder(context);
  const refused = [
    [['filter', 'no', '-o', 'out', '--min-clip-score', '0.2'], /--min-clip-score needs --clip/],
    [['filter', 'no', '-o', 'out', '--aesthetic', 'x'], /--aesthetic needs --clip/],
    [['filter', 'no', '--min-clip-score', '28'], /between -1 and 1/],
    [['filter', 'no'], /--output is required/],
    [['count', 'no'], /Choose stats or filter/],
    [['stats', 'no', '--shard-size', '5'], /--shard-size/],
    [['filter', join(folder, 'no'), '-o', join(folder, 'out')], /no does not exist/],
  ] as const;
  for (const [words, message] of refused) assert.match((await sd(['data', ...words])).err, message);
  assert.ok(!existsSync(join(folder, 'out')));
});
