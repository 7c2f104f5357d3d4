/** EXIF: round trips, what other programs write, encodings of user comments. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import sharp from 'sharp';
import { readExif, writeExif } from '../../src/image/metadata/exif.ts';
import { readImageMetadata, writeImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { ascii } from './ascii.ts';

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

test('EXIF user comments in the encodings that writers use', () => {
  const words = 'a red house, café, 红色的房子\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 64x64';
  const utf16 = (little: boolean, mark: boolean): Uint8Array => {
    const units = [...(mark ? '\ufeff' : ''), ...words].map((letter) => letter.charCodeAt(0));
    return new Uint8Array(units.flatMap((unit) => (little ? [unit & 255, unit >> 8] : [unit >> 8, unit & 255])));
  };
  const utf8 = new TextEncoder().encode(words);
  const withMark = new Uint8Array([0xef, 0xbb, 0xbf, ...utf8]);
  for (const little of [false, true])
    for (const comment of [
      utf16(false, false),
      utf16(true, false),
      utf16(false, true),
      utf16(true, true),
      utf8,
      withMark,
    ])
      assert.equal(readExif(commentBlock(little, 'UNICODE', comment)).userComment, words);
});

/** A block of one byte order with a user comment alone. */
function commentBlock(isLittle: boolean, code: string, body: Uint8Array): Uint8Array {
  const block = new Uint8Array(52 + body.length);
  const view = new DataView(block.buffer);
  block.set(ascii(isLittle ? 'II' : 'MM'));
  view.setUint16(2, 42, isLittle);
  view.setUint32(4, 8, isLittle);
  const entry = (at: number, tag: number, type: number, count: number, value: number): void => {
    view.setUint16(at, 1, isLittle);
    view.setUint16(at + 2, tag, isLittle);
    view.setUint16(at + 4, type, isLittle);
    view.setUint32(at + 6, count, isLittle);
    view.setUint32(at + 10, value, isLittle);
  };
  entry(8, 0x8769, 4, 1, 26);
  entry(26, 0x9286, 7, 8 + body.length, 44);
  block.set(ascii(code), 44);
  block.set(body, 52);
  return block;
}

const utf16 = (text: string, isLittle: boolean): Uint8Array => {
  const view = new DataView(new ArrayBuffer(2 * text.length));
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), isLittle);
  return new Uint8Array(view.buffer);
};

test('user comments without any Latin letter are read in the order of their block, as EXIF 2 has them', () => {
  for (const isLittle of [true, false])
    for (const text of ['дом', '一只猫', '한국어', 'قطة جميلة', '猫🐱が好き', 'été à la plage, Steps: 20'])
      assert.equal(
        readExif(commentBlock(isLittle, 'UNICODE', utf16(text, isLittle))).userComment,
        text,
        `${text} ${isLittle ? 'II' : 'MM'}`,
      );
});

test('user comments in the other order, in UTF-8 and in the code of JIS are read', () => {
  const read = (isLittle: boolean, code: string, body: Uint8Array) =>
    readExif(commentBlock(isLittle, code, body)).userComment;
  for (const isLittle of [true, false]) {
    for (const text of ['cat', 'a cat, Steps: 20', '猫, Steps: 20, Sampler: Euler'])
      assert.equal(read(isLittle, 'UNICODE', utf16(text, !isLittle)), text);
    for (const text of ['дом', 'naïve café', '猫🐱が好き'])
      assert.equal(read(isLittle, 'UNICODE', new TextEncoder().encode(text)), text);
    // ISO 2022 JP: 猫
    assert.equal(read(isLittle, 'JIS', Uint8Array.of(0x1b, 0x24, 0x42, 0x47, 0x2d, 0x1b, 0x28, 0x42)), '猫');
    assert.equal(read(isLittle, 'JIS', ascii('cat')), 'cat');
    assert.equal(read(isLittle, 'Unicode', utf16('猫', isLittle)), '猫');
  }
});
