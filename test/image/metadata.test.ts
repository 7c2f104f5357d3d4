/** PNG text, EXIF and the metadata over both: round trips, limits, and damage of every kind. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { zlibSync } from 'fflate';
import sharp from 'sharp';
import { StableDiffusionError } from '../../src/errors.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { readExif, writeExif } from '../../src/image/metadata/exif.ts';
import { createImage } from '../../src/image/image.ts';
import { inspectImageFile } from '../../src/image/codec/image-file.ts';
import { readImageMetadata, writeImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { encodePngChunk, encodePngFile, pngChunks } from '../../src/image/metadata/png-chunks.ts';
import { readPngText, writePngText } from '../../src/image/metadata/png-text.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';

const file = (name: string) => new Uint8Array(readFileSync(reference(`files/images/${name}`)));
const ascii = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

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

test('EXIF round trip (property), and what piexif and others write', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\0')),
      fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\0')),
      (userComment, imageDescription) => {
        assert.deepEqual(readExif(writeExif({ userComment, imageDescription })), { userComment, imageDescription });
        assert.deepEqual(readExif(writeExif({ userComment })), { userComment });
        assert.deepEqual(readExif(writeExif({ imageDescription })), { imageDescription });
      },
    ),
    { numRuns: 200 },
  );
  // A folder with a user comment of each kind of character code, little-endian.
  const comment = (body: readonly number[]): Uint8Array => {
    const head = [
      0x49,
      0x49,
      42,
      0,
      8,
      0,
      0,
      0,
      1,
      0,
      0x69,
      0x87,
      4,
      0,
      1,
      0,
      0,
      0,
      26,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      1,
      0,
      0x86,
      0x92,
      7,
      0,
      body.length,
      0,
      0,
      0,
      44,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
    ];
    return Uint8Array.from([...head, ...body]);
  };
  assert.equal(readExif(comment([...ascii('ASCII\0\0\0a cat\0\0')])).userComment, 'a cat');
  assert.equal(readExif(comment([...ascii('\0\0\0\0\0\0\0\0a cat')])).userComment, 'a cat');
  assert.equal(readExif(comment([...ascii('UNICODE\0'), 0x61, 0, 0x20, 0, 0x62, 0])).userComment, 'a b');
  assert.equal(readExif(comment([...ascii('UNICODE\0'), 0, 0x61, 0, 0x20, 0x73, 0x2b])).userComment, 'a 猫');
});

test('EXIF as sharp writes it is read, and sharp reads ours', async () => {
  const image = sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } });
  const jpeg = new Uint8Array(
    await image
      .withExif({ IFD0: { ImageDescription: 'stable-diffusion-ts:{"seed":3}' } })
      .jpeg()
      .toBuffer(),
  );
  assert.deepEqual(readImageMetadata(jpeg).record, { seed: 3 });
  const ours = writeImageMetadata(
    new Uint8Array(
      await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
        .webp()
        .toBuffer(),
    ),
    { parameters: 'a cat', record: [1] },
  );
  const { exif, format, width } = await sharp(ours).metadata();
  assert.deepEqual([format, width], ['webp', 4]);
  assert.equal(readExif(new Uint8Array(exif ?? [])).userComment, 'a cat');
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

test('EXIF user comments in the encodings that writers use', () => {
  const words = 'a red house, café, 红色的房子\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 64x64';
  const utf16 = (little: boolean, mark: boolean): Uint8Array => {
    const units = [...(mark ? '\ufeff' : ''), ...words].map((letter) => letter.charCodeAt(0));
    return new Uint8Array(units.flatMap((unit) => (little ? [unit & 255, unit >> 8] : [unit >> 8, unit & 255])));
  };
  const utf8 = new TextEncoder().encode(words);
  const withMark = new Uint8Array([0xef, 0xbb, 0xbf, ...utf8]);
  const block = (comment: Uint8Array, little: boolean): Uint8Array => {
    const bytes = new Uint8Array(44 + 8 + comment.length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, little ? 0x4949 : 0x4d4d);
    view.setUint16(2, 42, little);
    view.setUint32(4, 8, little);
    const entry = (at: number, tag: number, type: number, count: number, value: number): void => {
      view.setUint16(at, 1, little);
      view.setUint16(at + 2, tag, little);
      view.setUint16(at + 4, type, little);
      view.setUint32(at + 6, count, little);
      view.setUint32(at + 10, value, little);
    };
    entry(8, 0x8769, 4, 1, 26);
    entry(26, 0x9286, 7, 8 + comment.length, 44);
    bytes.set(new TextEncoder().encode('UNICODE'), 44);
    bytes.set(comment, 52);
    return bytes;
  };
  for (const little of [false, true])
    for (const comment of [
      utf16(false, false),
      utf16(true, false),
      utf16(false, true),
      utf16(true, true),
      utf8,
      withMark,
    ])
      assert.equal(readExif(block(comment, little)).userComment, words);
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
