/** Large bodies: read, parsed and handed on without holding up the thread that answers everybody. */

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import test from 'node:test';
import { createJsonParser } from '../../src/server/http/json-thread.ts';
import { readBody } from '../../src/server/http/read-body.ts';
import { createNodeThreads } from '../../src/server/run/node-thread.ts';
import { copiedSlowly, memoryOf } from '../../src/server/run/moved-arrays.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { imageInTurns, imageOf } from '../../src/workflow/pictures.ts';
import { alice, keys } from './callers.ts';
import { startTestServer } from './start.ts';

/** How often others had a turn. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const count = (): void => {
    if (isOver) return;
    turns++;
    setImmediate(count);
  };
  setImmediate(count);
  await work();
  isOver = true;
  return turns;
}

const limits = { values: 100, depth: 64 };

test('a body of 16 MB of escapes, with a seed that needs exact reading, holds up nobody', async () => {
  const parser = createJsonParser();
  const large = Buffer.from(`{"image":"${'\\n'.repeat(8_000_000)}","seed":12345678901234567890}`);
  const warm = Buffer.from(`{"a":"${'x'.repeat(2 ** 20)}"}`);
  await parser.parse(Buffer.from(Uint8Array.from(warm).buffer), limits);
  const body = Buffer.from(Uint8Array.from(large).buffer);
  let value: unknown;
  const turns = await turnsDuring(async () => {
    value = await parser.parse(body, limits);
  });
  assert.deepEqual(Object.keys(value as object), ['image', 'seed']);
  assert.equal((value as { readonly image: string }).image.length, 8_000_000);
  assert.equal((value as { readonly seed: string }).seed, '12345678901234567890');
  // None before, for more than a second.
  assert.ok(turns > 10, `${turns} turns`);
  await parser.close();
});

test('a large body is refused as a small one is', async () => {
  const parser = createJsonParser();
  const padding = 'x'.repeat(2 ** 20);
  const refused = (text: string, status: number, message: RegExp) =>
    assert.rejects(
      async () => parser.parse(Buffer.from(Uint8Array.from(Buffer.from(text)).buffer), limits),
      (error) => {
        assert.match((error as Error).message, message);
        assert.equal((error as { readonly statusCode?: number }).statusCode, status);
        return true;
      },
    );
  await refused(`["${padding}"${',1'.repeat(200)}]`, 413, /more than 100 values/);
  await refused(`${'['.repeat(65)}"${padding}"${']'.repeat(65)}`, 400, /more than 64 deep/);
  await refused(`{"a":"${padding}"`, 400, /is not JSON/);
  await parser.close();
});

test('a body is read into one block, and bounded whatever it says', async () => {
  const chunks = (count: number) => Readable.from(Array.from({ length: count }, () => Buffer.alloc(50_000, 'a')));
  const read = (count: number, length: string | undefined, most: number) =>
    readBody({ headers: length === undefined ? {} : { 'content-length': length } }, chunks(count), most);
  for (const length of ['250000', undefined]) assert.equal(String(await read(5, length, 300_000)), 'a'.repeat(250_000));
  await assert.rejects(read(5, undefined, 240_000), { statusCode: 413 });
  await assert.rejects(read(5, '250000', 240_000), { statusCode: 413 });
  await assert.rejects(read(5, '250001', 300_000), { statusCode: 400 });
  await assert.rejects(read(5, '100', 300_000), { statusCode: 400 });
});

test('large pictures on their way to a node and back hold up nobody, and stay where they were', async () => {
  const threads = createNodeThreads({ together: 1, seconds: 60 });
  const small = float32([1, 1, 1, 3], new Float32Array([0.25, 0, 1]));
  await threads.run('ImageInvert', { image: small }, undefined);
  const image = float32([6, 1024, 2048, 3], new Float32Array(6 * 1024 * 2048 * 3).fill(0.25));
  let made: unknown;
  const turns = await turnsDuring(async () => {
    made = await threads.run('ImageInvert', { image }, undefined);
  });
  const [inverted] = made as readonly Tensor[];
  assert.deepEqual([image.data[0], image.data.length], [0.25, 6 * 1024 * 2048 * 3]);
  assert.deepEqual([inverted?.data[0], inverted?.data.length], [0.75, image.data.length]);
  // A part of 4 MB in each, before the node begins.
  assert.ok(turns > 36, `${turns} turns`);
  await threads.close();
});

test('arrays are copied once each, with turns for others, and small ones are left', async () => {
  const [big, little] = [new Float32Array(2 ** 22).fill(2), new Float32Array(4)];
  let copy: { readonly list: unknown } = { list: undefined };
  const turns = await turnsDuring(async () => {
    copy = await copiedSlowly({ list: [big, { again: big, little }], text: 'x' });
  });
  const [first, { again, little: same }] = copy.list as [Float32Array, { again: Float32Array; little: Float32Array }];
  assert.notEqual(first, big);
  assert.equal(again, first);
  assert.equal(same, little);
  assert.deepEqual([first.length, first[2 ** 22 - 1]], [2 ** 22, 2]);
  assert.deepEqual(memoryOf(copy), [first.buffer]);
  assert.ok(turns >= 4, `${turns} turns`);
});

test('a form of boundaries alone is refused before its parser makes a stream of each', async () => {
  const server = await startTestServer({ keys });
  const send = async (body: string): Promise<{ readonly status: number; readonly text: string }> => {
    const headers = { ...alice, 'content-type': 'multipart/form-data; boundary=b' };
    const response = await fetch(`${server.url}/v1/images/edits`, { method: 'POST', headers, body });
    return { status: response.status, text: await response.text() };
  };
  const answers = await Promise.all(Array.from({ length: 20 }, () => send(`${'\r\n--b'.repeat(100_000)}--\r\n`)));
  for (const { status, text } of answers) {
    assert.equal(status, 413);
    assert.match(text, /more than 200 lines that begin with --/);
  }
  const lines = '\r\n--'.repeat(100);
  const { status, text } = await send(
    `--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n${lines}\r\n--b--\r\n`,
  );
  assert.equal(status, 400, text);
  assert.match(text, /image/);
  await server.stop();
});

test('large pictures of a workflow become bytes in turn with others, and the same bytes', async () => {
  const values = new Float32Array(2 * 1024 * 2048 * 3).map((_, i) => ((i * 7919) % 3001) / 2000 - 0.25);
  values.set([Number.NaN, Infinity, -Infinity, 1, 254.999 / 255], 1024 * 2048 * 3);
  const images = float32([2, 1024, 2048, 3], values);
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const image = await imageInTurns(images, 1);
  clearInterval(timer);
  assert.ok(turns >= 1, `${turns} turns`);
  assert.deepEqual([...image.data.subarray(0, 5)], [0, 255, 0, 255, 254]);
  assert.deepEqual(image, imageOf(images, 1));
  for (let i = 5; i < image.data.length; i += 9973)
    assert.equal(
      image.data[i],
      Math.trunc(Math.min(255, Math.max(0, Math.fround(255 * (values[1024 * 2048 * 3 + i] as number))))),
    );
});
