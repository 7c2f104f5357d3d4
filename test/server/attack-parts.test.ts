/** What keeps single parts bounded against hostile input: readers of pictures and texts, counters of bytes and places. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { deflateSync } from 'node:zlib';
import { inspectImageFile } from '../../src/image/codec/image-file.ts';
import { readExif } from '../../src/image/metadata/exif.ts';
import { usesEmphasis } from '../../src/image/metadata/infotext-defaults.ts';
import { encodePngChunk, encodePngFile } from '../../src/image/metadata/png-chunks.ts';
import { readPngText } from '../../src/image/metadata/png-text.ts';
import { createInFlight } from '../../src/server/admission/in-flight.ts';
import { createPace } from '../../src/server/admission/pace.ts';
import { createPlaces } from '../../src/server/admission/places.ts';
import { createStorageQuota } from '../../src/server/admission/storage-quota.ts';
import { isOddOnWindows, pathInside } from '../../src/server/comfyui/folder-path.ts';
import { defaultLimits } from '../../src/server/limits.ts';
import { withoutSecrets } from '../../src/server/log-secrets.ts';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const pngOf = (...chunks: Uint8Array[]): Uint8Array => {
  const header = new Uint8Array([0, 0, 0, 8, 0, 0, 0, 8, 8, 2, 0, 0, 0]);
  return encodePngFile([
    encodePngChunk('IHDR', header),
    ...chunks,
    encodePngChunk('IDAT', new Uint8Array(deflateSync(new Uint8Array(8 * 25)))),
    encodePngChunk('IEND', new Uint8Array(0)),
  ]);
};

test('a text of zero bytes in EXIF is read in linear time', () => {
  const block = new Uint8Array(26 + 1_000_000);
  block.set([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x0e, 0, 2]);
  new DataView(block.buffer).setUint32(14, 1_000_000);
  new DataView(block.buffer).setUint32(18, 26);
  block[block.length - 1] = 0x41;
  assert.equal(readExif(block).imageDescription?.length, 1_000_000);
});

test('settings of white space, and of very many BREAKs, are read in linear time', () => {
  assert.equal(usesEmphasis(`x${' '.repeat(500_000)}x`), false);
  assert.equal(usesEmphasis('BREAK '.repeat(300_000)), false);
});

test('texts that inflate beyond the limit are charged for what they spent', () => {
  const bomb = encodePngChunk('zTXt', new Uint8Array([...text('k\0\0'), ...deflateSync(new Uint8Array(2 ** 20 + 2))]));
  const { dropped } = readPngText(pngOf(...Array.from({ length: 2000 }, () => bomb)));
  assert.equal(dropped.length, 2000);
  // Those after the budget is spent are not inflated at all.
  assert.ok(dropped.filter(({ reason }) => reason.includes('limit of 0 bytes')).length > 1900);
});

test('a PNG of very many chunks is refused', () => {
  const empty = encodePngChunk('abCd', new Uint8Array(0));
  assert.throws(() => inspectImageFile(pngOf(...Array.from({ length: 70_000 }, () => empty))), { code: 'too-large' });
});

test('a JPEG of very many scans is refused before it is decoded', () => {
  const segment = (marker: number, data: readonly number[]): number[] => [
    0xff,
    marker,
    (data.length + 2) >> 8,
    (data.length + 2) & 255,
    ...data,
  ];
  const scan = [...segment(0xda, [1, 1, 0, 1, 63, 0]), 0x7f];
  const jpeg = (scans: number): Uint8Array =>
    new Uint8Array([
      0xff,
      0xd8,
      ...segment(0xc2, [8, 0, 8, 0, 8, 1, 1, 0x11, 0]),
      ...Array.from({ length: scans }, () => scan).flat(),
      0xff,
      0xd9,
    ]);
  assert.equal(inspectImageFile(jpeg(10)).format, 'jpeg');
  assert.throws(() => inspectImageFile(jpeg(101)), { code: 'too-large', message: /100 scans/ });
});

test('what is held is given back, and never twice', () => {
  const flight = createInFlight({ ...defaultLimits, bytesInFlightPerCaller: 100, bytesInFlight: 150 });
  const first = flight.enter('alice', 80);
  assert.throws(() => flight.enter('alice', 30), { code: 'busy', details: { scope: 'caller' } });
  assert.throws(() => flight.enter('bob', 80), { code: 'busy', details: { scope: 'server' } });
  first.hold(10);
  const second = flight.enter('alice', 90);
  first.leave();
  first.leave();
  assert.throws(() => flight.enter('alice', 30), { code: 'busy' });
  second.leave();
  flight.enter('alice', 100).leave();
});

test('answers that are not read are bounded, and the first of each caller is always given', () => {
  const flight = createInFlight({ ...defaultLimits, answerBytesPerCaller: 100, answerBytes: 150 });
  const first = flight.enter('alice', 0);
  first.answer(500);
  assert.throws(() => flight.enter('alice', 0).answer(1), { code: 'busy', details: { scope: 'caller' } });
  const other = flight.enter('bob', 0);
  other.answer(80);
  assert.throws(() => flight.enter('bob', 0).answer(10), { code: 'busy', details: { scope: 'server' } });
  first.leave();
  flight.enter('bob', 0).answer(10);
  assert.throws(() => flight.enter('bob', 0).answer(20), { code: 'busy', details: { scope: 'caller' } });
});

test('a few files of one caller are read at a time, and others in order', async () => {
  const places = createPlaces(2);
  let [under, most] = [0, 0];
  const order: number[] = [];
  const work = (i: number) => async (): Promise<void> => {
    most = Math.max(most, ++under);
    await new Promise((resolve) => setImmediate(resolve));
    order.push(i);
    under--;
    if (i === 1) throw new Error('broken');
  };
  const all = await Promise.allSettled([0, 1, 2, 3, 4].map((i) => places.run('alice', work(i))));
  assert.equal(most, 2);
  assert.deepEqual(order, [0, 1, 2, 3, 4]);
  assert.equal(all.filter(({ status }) => status === 'rejected').length, 1);
});

test('one caller does not fill the disk', () => {
  let time = 0;
  const quota = createStorageQuota(100, () => time);
  quota.charge('alice', 90);
  assert.throws(() => quota.charge('alice', 20), { code: 'busy', details: { scope: 'caller' } });
  quota.charge('bob', 90);
  time = 25 * 3600 * 1000;
  quota.charge('alice', 90);
});

test('secrets are left out of log entries by their names, wherever they lie', () => {
  const entry = {
    busboyOptions: { headers: { authorization: 'Bearer x', 'X-API-Key': 'y', host: 'z' } },
    a: [{ cookie: 1 }],
  };
  assert.deepEqual(withoutSecrets(entry), {
    busboyOptions: { headers: { authorization: '[secret]', 'X-API-Key': '[secret]', host: 'z' } },
    a: [{ cookie: '[secret]' }],
  });
});

test('many requests of one caller are begun one in each turn, those of others at once', async () => {
  const pace = createPace(16);
  const turns: number[] = [];
  let turn = 0;
  let isOver = false;
  const count = (): void => {
    turn++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const all = Array.from({ length: 100 }, (_, i) => pace.begin('alice', i + 1).then(() => turns.push(turn)));
  await pace.begin('bob', 1);
  assert.equal(turn, 0);
  await Promise.all(all);
  isOver = true;
  assert.deepEqual(turns.slice(0, 16), Array(16).fill(0));
  for (let i = 17; i < 100; i++) assert.ok((turns[i] as number) > (turns[i - 1] as number), `${turns}`);
});

test('names that Windows takes for devices, streams or shorter names, and paths that lead out', () => {
  for (const name of [
    'NUL',
    'con.json',
    'COM1',
    'lpt9.txt',
    'a.json:stream',
    'a.json::$DATA',
    'a.json.',
    'a ',
    'a?b',
    'CON:..',
  ])
    assert.equal(isOddOnWindows(name), true, name);
  for (const name of ['console.json', 'nul1', 'a.b.json', 'com', 'COM10', '.x', 'ä b'])
    assert.equal(isOddOnWindows(name), false, name);
  for (const path of ['../x', '..\\x', 'a/../../x', '/etc', 'C:x', 'c:\\x', 'a\u0000b', 'a\nb'])
    assert.equal(pathInside(path), undefined, path);
  assert.equal(pathInside('\\\\server\\share'), 'server/share');
});
