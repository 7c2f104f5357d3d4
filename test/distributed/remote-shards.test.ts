/** Shards at addresses: fetched once, again where a connection breaks, kept within bounds; and shards of each rank's own. Against a server of the test's own. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import type { TrainingBatch } from '../../src/training/data/batches.ts';
import { openData } from '../../src/training/data/open-data-node.ts';
import { ownShardBatches } from '../../src/training/data/own-shards.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import { openRemoteShards } from '../../src/training/data/remote-shards-node.ts';
import type { SampleSource, ShardedSource } from '../../src/training/data/sample.ts';
import { tarOf } from '../training/tar-of.ts';
import { localRanks } from './local-ranks.ts';

const png = await nodeImageCodec.encode(createImage(8, 8, 3), { format: 'png' });
/** Four shards of six samples, `00-0` to `03-5`. */
const shards = new Map(
  [0, 1, 2, 3].map((n) => [
    `data/0${n}.tar`,
    Buffer.from(tarOf([0, 1, 2, 3, 4, 5].map((i) => [`0${n}-${i}.png`, png] as const))),
  ]),
);
const requests: string[] = [];
/** Answers that go wrong before the right ones: a status, or `cut` within the body. */
let wrong: (number | 'cut')[] = [];

/** Web server and path-style S3 in one: `/bucket/KEY` and `/KEY`. */
const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://server');
  const key = pathname.replace(/^\/(?:bucket\/?)?/, '');
  if (searchParams.has('list-type')) {
    const rows = [...shards.keys(), 'data/notes.txt'].map((name) => `<Contents><Key>${name}</Key></Contents>`);
    response.setHeader('content-type', 'application/xml');
    response.end(`<ListBucketResult><IsTruncated>false</IsTruncated>${rows.join('')}</ListBucketResult>`);
    return;
  }
  const bytes = shards.get(key);
  if (!bytes) return void response.writeHead(404).end();
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  requests.push(`${key}${from > 0 ? '+' : ''}`);
  const failure = wrong.shift();
  if (typeof failure === 'number') return void response.writeHead(failure).end();
  response.setHeader('content-length', bytes.length - from);
  if (from > 0) response.writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
  if (failure !== 'cut') return void response.end(bytes.subarray(from));
  response.write(bytes.subarray(from, from + 2000));
  // The connection breaks when what came is in the file.
  const poll = setInterval(() => {
    const partial = readdirSync(folder).find((name) => name.endsWith('.incomplete'));
    if (partial === undefined || statSync(join(folder, partial)).size < 2000) return;
    clearInterval(poll);
    response.destroy();
  }, 2);
});

let folder = '';
let at = '';
const environment = { ...process.env };
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: 'test-id',
    AWS_SECRET_ACCESS_KEY: 'test-secret',
    AWS_ENDPOINT_URL_S3: at,
  });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shards-'));
  requests.length = 0;
  wrong = [];
});
after(() => {
  process.env = environment;
  server.closeAllConnections();
  server.close();
});
test.afterEach(() => rmSync(folder, { recursive: true }));

const problems = createProblems();
const cache = () => ({ folder, pause: 1 });

async function namesOf(source: SampleSource): Promise<string[]> {
  const names: string[] = [];
  if (!('shards' in source)) throw new Error('no shards');
  for (const shard of source.shards.keys())
    for await (const { sample } of source.open(shard)) names.push(sample.name.replace(/^.*:/, ''));
  await source.close();
  return names;
}
const all = [0, 1, 2, 3].flatMap((n) => [0, 1, 2, 3, 4, 5].map((i) => `0${n}-${i}`));

test('shards of a web server: a broken connection goes on, a busy server is asked again, and a second pass fetches nothing', async () => {
  wrong = [503, 'cut'];
  const open = () => openData(`${at}/data/{00..03}.tar`, { problems, cache: cache() });
  assert.deepEqual(await namesOf(await open()), all);
  assert.deepEqual(requests, [
    ...['data/00.tar', 'data/00.tar', 'data/00.tar+'],
    ...['data/01.tar', 'data/02.tar', 'data/03.tar'],
  ]);
  assert.deepEqual(await namesOf(await open()), all);
  assert.equal(requests.length, 6);
});

test('shards of a bucket: by pattern, and all below a key', async () => {
  wrong = ['cut'];
  assert.deepEqual(
    await namesOf(await openData('s3://bucket/data/0{1,2}.tar', { problems, cache: cache() })),
    all.slice(6, 18),
  );
  assert.ok(requests.includes('data/01.tar+'));
  assert.deepEqual(await namesOf(await openData('s3://bucket/data/', { problems, cache: cache() })), all);
  assert.equal(requests.filter((key) => key === 'data/02.tar').length, 1);
});

test('the folder of shards stays within its size', async () => {
  const size = shards.get('data/00.tar')?.length ?? 0;
  const source = await openData(`${at}/data/{00..03}.tar`, {
    problems,
    cache: { ...cache(), bytes: 2.5 * size },
  });
  assert.deepEqual(await namesOf(source), all);
  assert.equal(readdirSync(folder).filter((name) => name.endsWith('.tar')).length, 2);
});

test('a server that fails ends the run by name, and so do other addresses', async () => {
  wrong = Array(6).fill(500);
  const source = await openData(`${at}/data/00.tar`, { problems, cache: cache() });
  await assert.rejects(namesOf(source), { code: 'network', message: /00\.tar could not be downloaded: HTTP 500/ });
  await assert.rejects(openRemoteShards(`${at}/data/x.zip`, {}), { code: 'invalid-argument', message: /x\.zip/ });
  await assert.rejects(openRemoteShards('s3://B/x.tar', {}), { code: 'invalid-argument', message: /s3:\/\/BUCKET/ });
});

const options = { batchSize: 2, seed: 3, buffer: 4, codec: nodeImageCodec, problems };
const picture = { size: 8, crop: 'center', flip: 0, filter: 'bicubic' } as const;

async function batchesOn(
  size: number,
  count: number,
  folderOf: (rank: number) => string,
  state?: TrainingBatch['state'],
) {
  return Promise.all(
    localRanks(size).map(async (ranks) => {
      const own = { folder: folderOf(ranks.rank), pause: 1 };
      const source = (await openData(`${at}/data/{00..03}.tar`, { problems, cache: own })) as ShardedSource;
      const got: TrainingBatch[] = [];
      for await (const batch of ownShardBatches(source, { ...options, picture, ...(state ? { state } : {}) }, ranks)) {
        got.push(batch);
        if (got.length === count) break;
      }
      await source.close();
      return got;
    }),
  );
}
const textOf = (batches: readonly TrainingBatch[]): string[] =>
  batches.flatMap(({ items }) => items.map(({ name }) => name.replace(/^.*:/, '')));

test('with own shards two machines fetch each shard once an epoch, see every sample once, and go on from their states', async () => {
  const folderOf = (rank: number): string => join(folder, String(rank));
  // 12 samples on each rank are an epoch of six batches.
  const parts = await batchesOn(2, 6, folderOf);
  assert.deepEqual([...requests].sort(), [...shards.keys()]);
  assert.deepEqual(parts.flatMap(textOf).sort(), all);
  assert.ok(textOf(parts[0] ?? []).every((name) => /^0[02]/.test(name)));
  assert.deepEqual(parts[1]?.[0]?.places, { rows: [2, 3], total: 4 });
  const state = parts[0]?.[2]?.state;
  assert.deepEqual(parts[1]?.[2]?.state, state);
  const on = await batchesOn(2, 3, folderOf, state);
  assert.deepEqual(
    on.map(textOf),
    parts.map((batches) => textOf(batches.slice(3))),
  );
  await assert.rejects(batchesOn(3, 1, folderOf, state), /divided over 2 ranks, and there are 3/);
  await assert.rejects(batchesOn(5, 1, folderOf), /has 4 shards for 5 ranks/);
});

test("a small cache gives way to new shards, and never removes somebody's own archives", async () => {
  writeFileSync(join(folder, 'mine.tar'), 'mine');
  utimesSync(join(folder, 'mine.tar'), 1, 1);
  const source = await openData(`${at}/data/{00..03}.tar`, { problems, cache: { ...cache(), bytes: 1 } });
  assert.deepEqual(await namesOf(source), all);
  assert.deepEqual(
    readdirSync(folder)
      .filter((name) => name.endsWith('.tar'))
      .map((name) => name.slice(-7)),
    ['-03.tar', 'ine.tar'],
  );
});
