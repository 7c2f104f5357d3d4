/** PNG text and the metadata over all formats: round trips, limits, and damage of every kind. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { zlibSync } from 'fflate';
import sharp from 'sharp';
import { StableDiffusionError } from '../../src/errors.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { decodeFrames } from '../../src/image/codec/frames-node.ts';
import { readExif } from '../../src/image/metadata/exif.ts';
import { createImage } from '../../src/image/image.ts';
import { inspectImageFile } from '../../src/image/codec/image-file.ts';
import { readImageMetadata, writeImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { encodePngChunk, encodePngFile, pngChunks } from '../../src/image/metadata/png-chunks.ts';
import { readPngText, writePngText } from '../../src/image/metadata/png-text.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';
import { ascii } from './ascii.ts';

const file = (name: string) => new Uint8Array(readFileSync(reference(`files/images/${name}`)));

/** A PNG with the chunk after its IHDR. */
function withChunk(type: string, data: Uint8Array): Uint8Array {
  const png = file('plain.png');
  const parts: Uint8Array[] = [];
  for (const chunk of pngChunks(png)) {
    parts.push(png.subarray(chunk.offset, chunk.offset + 12 + chunk.data.length));
    if (chunk.type === 'IHDR') parts.push(encodePngChunk(type, data));
  }
  return encodePngFile(parts);
}

for (const [name, decode] of [
  ['frames', decodeFrames],
  ['a picture', nodeImageCodec.decode],
] as const)
  test(`texts that a small PNG inflates are not inflated when it is decoded as ${name}`, async () => {
    const packed = zlibSync(new Uint8Array(50_000_000).fill(65));
    const bomb = withChunk('zTXt', Uint8Array.of(107, 0, 0, ...packed));
    const plain = await decode(file('plain.png'));
    const before = process.resourceUsage().maxRSS;
    assert.deepEqual(await decode(bomb), plain);
    assert.ok(process.resourceUsage().maxRSS - before < 40 * 1024, 'the texts were inflated');
  });

test('files/images text-ztxt-bomb.png: the text is dropped and named, little memory is used', () => {
  const before = process.memoryUsage().rss;
  const { texts, dropped } = readPngText(file('text-ztxt-bomb.png'));
  assert.equal(texts.size, 0);
  assert.equal(dropped.length, 1);
  assert.match(dropped[0]?.reason ?? '', /limit/);
  const growth = (process.memoryUsage().rss - before) / 2 ** 20;
  assertWithin({
    part: 'files/images',
    case: 'text-ztxt-bomb.png',
    output: 'MiB of memory grown while reading text',
    error: growth,
    tolerance: 64,
  });
});

test('zTXt and compressed iTXt are inflated', () => {
  const text = 'é and more '.repeat(100);
  const ztxt = withChunk('zTXt', Uint8Array.of(...ascii('note\0\0'), ...zlibSync(ascii(text))));
  assert.equal(readPngText(ztxt).texts.get('note'), text);
  const itxt = withChunk(
    'iTXt',
    Uint8Array.of(...ascii('note\0\x01\0de\0Notiz\0'), ...zlibSync(new TextEncoder().encode(`猫 ${text}`))),
  );
  assert.equal(readPngText(itxt).texts.get('note'), `猫 ${text}`);
});

test('what is wrong with one text is named, and the others are read', () => {
  const rows: [string, Uint8Array, RegExp][] = [
    ['tEXt', ascii('no separator'), /keyword/],
    ['tEXt', ascii('\0empty keyword'), /keyword/],
    ['zTXt', ascii('k\0\x07data'), /method 7/],
    ['zTXt', ascii('k\0\0garbage'), /inflated/],
    ['iTXt', ascii('k\0\x05\0\0\0x'), /malformed/],
    ['iTXt', ascii('k\0\0'), /malformed/],
    ['iTXt', Uint8Array.of(...ascii('k\0\0\0\0\0'), 0xff, 0xfe), /UTF-8/],
    ['tEXt', ascii(`k\0${'x'.repeat(2 ** 20 + 1)}`), /limit/],
  ];
  for (const [type, data, reason] of rows) {
    const { texts, dropped } = readPngText(writePngText(withChunk(type, data), [['fine', 'yes']]));
    assert.equal(texts.get('fine'), 'yes');
    assert.equal(dropped.length, 1, String(reason));
    assert.match(dropped[0]?.reason ?? '', reason);
  }
  const damaged = writePngText(file('plain.png'), [['k', 'hello']]);
  damaged[8 + 25 + 8 + 3] = 0x6a;
  assert.match(readPngText(damaged).dropped[0]?.reason ?? '', /checksum/);
});

test('all texts together have a limit', () => {
  let png: Uint8Array = file('plain.png');
  for (let i = 0; i < 5; i++) png = writePngText(png, [[`k${i}`, 'x'.repeat(100)]]);
  const { texts, dropped } = readPngText(png, { maxTotalBytes: 250 });
  assert.deepEqual([texts.size, dropped.length], [2, 3]);
});

test('any text comes back from a PNG (property), and a keyword is replaced, not repeated', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), (a, b) => {
      const once = writePngText(file('plain.png'), [
        ['parameters', a],
        ['Comment', 'kept'],
      ]);
      const twice = writePngText(once, [['parameters', b]]);
      const { texts, dropped } = readPngText(twice);
      assert.equal(texts.get('parameters'), Buffer.from(b.replaceAll('\0', ' ')).toString());
      assert.equal(texts.get('Comment'), 'kept');
      assert.deepEqual(dropped, []);
      assert.equal([...pngChunks(twice)].filter(({ type }) => type === 'tEXt' || type === 'iTXt').length, 2);
    }),
    { numRuns: 200 },
  );
  for (const keyword of ['', 'x'.repeat(80), 'tab\t', '猫'])
    assert.throws(() => writePngText(file('plain.png'), [[keyword, 'x']]), { code: 'invalid-argument' });
});

test('sharp reads the PNG text we write, and the pixels are the same', async () => {
  const png = writePngText(file('plain.png'), [
    ['parameters', 'a cat'],
    ['note', '猫'],
  ]);
  const { comments } = await sharp(png).metadata();
  assert.deepEqual(comments, [
    { keyword: 'parameters', text: 'a cat' },
    { keyword: 'note', text: '猫' },
  ]);
  assert.deepEqual(await nodeImageCodec.decode(png), await nodeImageCodec.decode(file('plain.png')));
});

test("metadata: absent, somebody else's, too long for JPEG, GIF", async () => {
  assert.deepEqual(readImageMetadata(file('plain.jpg')), { texts: new Map() });
  assert.equal(
    readImageMetadata(writePngText(file('plain.png'), [['stable-diffusion-ts', '{not json']])).record,
    undefined,
  );
  const jpeg = await nodeImageCodec.encode(createImage(8, 8, 3), { format: 'jpeg' });
  const fits = writeImageMetadata(jpeg, { parameters: 'p', record: 'x'.repeat(70_000) });
  assert.deepEqual([readImageMetadata(fits).parameters, readImageMetadata(fits).record], ['p', undefined]);
  assert.throws(() => writeImageMetadata(jpeg, { parameters: 'x'.repeat(40_000) }), { code: 'too-large' });
  assert.throws(() => writeImageMetadata(file('animated.gif'), { parameters: 'x' }), { code: 'file-unsupported' });
});

test('mutated and cut files end in a value or one of our errors (fuzzing, seeded)', () => {
  const seeds = [
    'text-chunks.png',
    'exif-orientation-6.png',
    'exif-orientation-6.jpg',
    'exif-garbage.jpg',
    'exif-orientation-8.webp',
    'animated.webp',
    'plain.webp',
    'animated.gif',
  ].map(file);
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255) });
  fc.assert(
    fc.property(
      fc.constantFrom(...seeds),
      fc.array(change, { maxLength: 6 }),
      fc.nat(),
      fc.boolean(),
      (seed, changes, length, cut) => {
        const bytes = seed.slice(0, cut ? length % seed.length : seed.length);
        for (const { at, byte } of changes) if (bytes.length > 0) bytes[at % Math.min(bytes.length, 200)] = byte;
        for (const run of [
          () => inspectImageFile(bytes),
          () => readImageMetadata(bytes),
          () => readPngText(bytes),
          () => void readExif(bytes),
        ]) {
          try {
            run();
          } catch (error) {
            assert.ok(error instanceof StableDiffusionError, String(error));
          }
        }
      },
    ),
    { numRuns: 3000, seed: 20_231 },
  );
});

test("NovelAI's settings are read as A1111's text", async () => {
  const plain = await nodeImageCodec.encode(createImage(64, 32, 3), { format: 'png' });
  const comment = JSON.stringify({ steps: 28, sampler: 'k_dpmpp_2m', scale: 11.5, seed: 123, uc: 'blurry' });
  const read = (software: string, told: string) =>
    readImageMetadata(
      writePngText(plain, [
        ['Software', software],
        ['Description', 'a red house'],
        ['Comment', told],
      ]),
    ).parameters;
  assert.equal(
    read('NovelAI', comment),
    'a red house\nNegative prompt: blurry\nSteps: 28, Sampler: DPM++ 2M, CFG scale: 11.5, Seed: 123, Size: 64x32, Clip skip: 2, ENSD: 31337',
  );
  assert.equal(read('another program', comment), undefined);
  assert.equal(read('NovelAI', '{'), undefined);
});

const settings = 'a 猫\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 8x8';

test("a JPEG's comment holds settings where there is no EXIF; the last one counts", async () => {
  const jpeg = await nodeImageCodec.encode(createImage(8, 8, 3), { format: 'jpeg', quality: 90 });
  const segment = (text: string): Uint8Array => {
    const body = new TextEncoder().encode(text);
    return Uint8Array.of(0xff, 0xfe, (body.length + 2) >> 8, (body.length + 2) & 0xff, ...body);
  };
  const withComments = (...texts: string[]): Uint8Array =>
    Uint8Array.of(...jpeg.subarray(0, 2), ...texts.flatMap((text) => [...segment(text)]), ...jpeg.subarray(2));
  const found = readImageMetadata(withComments('first', settings));
  assert.equal(found.parameters, settings);
  assert.equal(found.texts.get('comment'), settings);
  const both = writeImageMetadata(withComments('other'), { parameters: settings });
  assert.equal(readImageMetadata(both).parameters, settings, 'EXIF before the comment');
  assert.equal(readImageMetadata(jpeg).parameters, undefined);
});

test("a GIF's comments before its first picture hold settings", () => {
  const blocks = (text: string): number[] => {
    const bytes = [...new TextEncoder().encode(text)];
    const parts: number[] = [];
    for (let at = 0; at < bytes.length; at += 20) {
      const part = bytes.slice(at, at + 20);
      parts.push(part.length, ...part);
    }
    return [0x21, 0xfe, ...parts, 0];
  };
  const head = [...ascii('GIF89a'), 1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 255, 255, 255];
  const control = [0x21, 0xf9, 4, 0, 0, 0, 0, 0];
  const picture = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0];
  const gif = (...parts: number[][]): Uint8Array => Uint8Array.of(...head, ...parts.flat(), ...picture, 0x3b);
  assert.equal(readImageMetadata(gif(control, blocks(settings))).parameters, settings);
  assert.equal(readImageMetadata(gif(blocks('one'), control, blocks('two'))).parameters, 'one\ntwo');
  assert.equal(readImageMetadata(gif(control)).parameters, undefined);
  assert.equal(readImageMetadata(Uint8Array.of(...head, 0x21, 0xfe, 200, 65)).parameters, 'A', 'cut off');
});
