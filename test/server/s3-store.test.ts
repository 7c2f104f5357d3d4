/** Pictures in a bucket: the store on Amazon's client, against a small S3 of the test's own. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { after, before } from 'node:test';
import { blobId } from '../../src/server/store/blob-store.ts';
import { openS3Store, parseS3Address } from '../../src/server/store/s3-store.ts';

interface Stored {
  bytes: Buffer;
  time: number;
}

/** GET, HEAD, PUT, DELETE of objects and the list of a bucket, path-style. */
const objects = new Map<string, Stored>();
const bucket = createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://s3');
  const [, name, ...rest] = decodeURIComponent(pathname).split('/');
  const key = rest.join('/');
  const found = objects.get(key);
  assert.match(request.headers.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=test-id\//);
  if (name !== 'pictures') response.writeHead(404).end();
  else if (key === '' && request.method === 'HEAD') response.end();
  else if (key === '' && searchParams.has('list-type')) {
    const rows = [...objects].map(
      ([Key, { time }]) =>
        `<Contents><Key>${Key}</Key><LastModified>${new Date(time).toISOString()}</LastModified></Contents>`,
    );
    response.setHeader('content-type', 'application/xml');
    response.end(
      `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>${rows.join('')}</ListBucketResult>`,
    );
  } else if (request.method === 'PUT') {
    objects.set(key, { bytes: Buffer.concat(chunks), time: Date.now() });
    response.end();
  } else if (!found) {
    response.writeHead(404, { 'content-type': 'application/xml' });
    response.end(request.method === 'HEAD' ? '' : '<Error><Code>NoSuchKey</Code></Error>');
  } else if (request.method === 'DELETE') {
    objects.delete(key);
    response.writeHead(204).end();
  } else {
    response.setHeader('content-length', found.bytes.length);
    response.end(request.method === 'HEAD' ? undefined : found.bytes);
  }
});
const environment = { ...process.env };
before(async () => {
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'test-id', AWS_SECRET_ACCESS_KEY: 'test-secret' });
  await new Promise<void>((resolve) => bucket.listen(0, '127.0.0.1', resolve));
});
after(() => {
  process.env = environment;
  bucket.closeAllConnections();
  bucket.close();
});
const endpoint = (): string => `http://127.0.0.1:${(bucket.address() as AddressInfo).port}`;

test('addresses', () => {
  assert.deepEqual(parseS3Address('s3://pictures/a/b'), { bucket: 'pictures', prefix: 'a/b/' });
  assert.deepEqual(parseS3Address('s3://pictures'), { bucket: 'pictures', prefix: '' });
  for (const wrong of ['http://x', 's3://', 's3://A', 's3:pictures'])
    assert.throws(() => parseS3Address(wrong), { code: 'invalid-argument' });
});

test('what is put is there, by the hash of its bytes, until it is pruned', async () => {
  const store = await openS3Store({ address: 's3://pictures/results', endpoint: endpoint() });
  const bytes = Uint8Array.of(1, 2, 3);
  const id = await store.put(bytes);
  assert.equal(id, blobId(bytes));
  assert.deepEqual([...objects.keys()], [`results/${id}`]);
  assert.deepEqual(await store.get(id), bytes);
  assert.equal(await store.has(id), true);
  const other = blobId(Uint8Array.of(9));
  assert.deepEqual([await store.get(other), await store.has(other)], [undefined, false]);
  assert.deepEqual([await store.get('../x'), await store.has('../x')], [undefined, false]);
  const object = objects.get(`results/${id}`);
  assert.ok(object);
  objects.set('results/notes.txt', { bytes: Buffer.from('mine'), time: 0 });
  assert.equal(await store.prune(object.time - 1), 0);
  object.bytes = Buffer.from('damaged');
  assert.equal(await store.get(id), undefined, 'damaged');
  assert.equal(await store.prune(object.time + 1), 1);
  assert.deepEqual([...objects.keys()], ['results/notes.txt'], 'files of others stay');
  await store.close();
});

test('a bucket that is not there is said at the start', async () => {
  await assert.rejects(openS3Store({ address: 's3://nothing', endpoint: endpoint() }), { code: 'network' });
});
