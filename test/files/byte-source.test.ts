/** One conformance suite that every ByteSource passes: memory, a file on disk, a Blob, a URL. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ByteSource, memoryBytes } from '../../src/files/byte-source.ts';
import { openFile } from '../../src/files/byte-source-node.ts';
import { blobBytes, openUrl } from '../../src/files/byte-source-web.ts';

const content = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) & 0xff);
const folder = mkdtempSync(join(tmpdir(), 'sd-bytes-'));
const path = join(folder, 'file.bin');
writeFileSync(path, content);
after(() => rmSync(folder, { recursive: true }));

/** A server in memory that answers range requests. */
const server: typeof fetch = async (_url, init) => {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '') ?? [];
  return new Response(content.slice(Number(from), Number(to) + 1), {
    status: 206,
    headers: { 'content-range': `bytes ${from}-${to}/${content.length}`, etag: '"1"' },
  });
};

/** As Vite's: a range that ends at 0 gets the whole, and every other one four bytes more before and behind. */
const generous: typeof fetch = async (_url, init) => {
  const [, from = 0, to = 0] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '') ?? [];
  const [first, last] = to === '0' ? [0, 999] : [Math.max(0, Number(from) - 4), Math.min(999, Number(to) + 4)];
  return new Response(content.slice(first, last + 1), {
    status: 206,
    headers: { 'content-range': `bytes ${first}-${last}/1000`, etag: '"1"' },
  });
};

test('an answer that does not cover the range is an error with what came', async () => {
  const narrow: typeof fetch = async () =>
    new Response('abc', { status: 206, headers: { 'content-range': 'bytes 5-7/1000' } });
  await assert.rejects(openUrl('https://example.org/x', { fetch: narrow }), {
    code: 'network',
    message: /"bytes 5-7\/1000"/,
  });
});

test('a file that is shorter than the first request has its size', async () => {
  const short: typeof fetch = async () =>
    new Response('abcde', { status: 206, headers: { 'content-range': 'bytes 0-4/5' } });
  const source = await openUrl('https://example.org/x', { fetch: short });
  assert.equal(source.size, 5);
  assert.equal(new TextDecoder().decode(await source.read(0, 5)), 'abcde');
});

/** As Python's http.server: no ranges. */
const simple: typeof fetch = async () => new Response(content, { headers: { 'content-length': '1000' } });

const adapters: Readonly<Record<string, () => Promise<ByteSource>>> = {
  memory: async () => memoryBytes(content),
  file: () => openFile(path),
  blob: async () => blobBytes(new File([content], 'file.bin')),
  url: () => openUrl('https://example.org/file.bin', { fetch: server }),
  'url of a server that sends more': () => openUrl('https://example.org/file.bin', { fetch: generous }),
  'url of a server without ranges': () => openUrl('https://example.org/file.bin', { fetch: simple }),
};

for (const [name, open] of Object.entries(adapters)) {
  test(`${name}: reads exactly what is asked for, and refuses what lies outside`, async () => {
    const source = await open();
    assert.equal(source.size, 1000);
    for (const [offset, length] of [
      [0, 1000],
      [0, 1],
      [999, 1],
      [500, 0],
      [1000, 0],
      [123, 456],
    ] as const) {
      assert.deepEqual(await source.read(offset, length), content.slice(offset, offset + length));
    }
    const mine = await source.read(0, 4);
    mine.fill(9);
    assert.deepEqual(await source.read(0, 4), content.slice(0, 4), 'the caller owns the bytes');
    const several = await Promise.all([source.read(0, 10), source.read(10, 10), source.read(990, 10)]);
    assert.deepEqual(several[2], content.slice(990));
    for (const [offset, length] of [
      [0, 1001],
      [1000, 1],
      [-1, 1],
      [0, -1],
      [2 ** 53, 1],
      [0.5, 1],
      [Number.NaN, 1],
    ] as const) {
      await assert.rejects(source.read(offset, length), { code: 'file-truncated' });
    }
    await source.close();
  });
}

test('a file that is missing, a folder, and a closed file are refused', async () => {
  await assert.rejects(openFile(join(folder, 'missing')), { code: 'file-not-found' });
  await assert.rejects(openFile(folder), { code: 'file-access' });
  const source = await openFile(path);
  await source.close();
  await assert.rejects(source.read(0, 1), { code: 'file-access' });
});

test('servers that do not do ranges, change the file, or fail are named', async () => {
  const answer = (make: () => Response) => openUrl('https://example.org/x', { fetch: async () => make() });
  await assert.rejects(
    answer(
      () => new Response('<!doctype html>', { status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } }),
    ),
    { code: 'file-not-found', message: /HTML page/ },
  );
  await assert.rejects(
    answer(() => new Response('long', { status: 200, headers: { 'content-length': `${2 ** 30}` } })),
    { code: 'network', message: /range/ },
  );
  await assert.rejects(
    answer(() => new Response('', { status: 404 })),
    { code: 'file-not-found' },
  );
  await assert.rejects(
    answer(() => new Response('', { status: 503 })),
    { code: 'network', message: /503/ },
  );
  await assert.rejects(
    openUrl('https://example.org/x', {
      fetch: async () => {
        throw new TypeError('fetch failed');
      },
    }),
    { code: 'network' },
  );
  let asked = 0;
  const wavering = await openUrl('https://example.org/x', {
    fetch: (url, init) => (asked++ === 0 ? server(url, init) : simple(url, init)),
  });
  await assert.rejects(wavering.read(0, 4), { code: 'network', message: /now sends the whole/ });
  let tag = 0;
  const changing: typeof fetch = async (url, init) => {
    const response = await server(url, init);
    response.headers.set('etag', `"${tag++}"`);
    return response;
  };
  const source = await openUrl('https://example.org/x', { fetch: changing });
  await assert.rejects(source.read(0, 4), { code: 'network', message: /changed/ });
});
