/** Texts of people: encodings by their marks, and Python's JSON. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { textLines } from '../../src/cli/text-lines.ts';
import { captionList } from '../../src/evaluation/caption-list.ts';
import { readTextIfThere, readTextOf } from '../../src/files/open-node.ts';
import { parseExactJson } from '../../src/formats/exact-json.ts';

const text = 'café\r\n猫🐱\r\n';
const swapped = (bytes: Buffer): Buffer => Buffer.from(bytes).swap16();
const readable: Readonly<Record<string, Buffer>> = {
  'utf8.txt': Buffer.from(text),
  'utf8-mark.txt': Buffer.from(`\ufeff${text}`),
  'utf16le.txt': Buffer.from(`\ufeff${text}`, 'utf16le'),
  'utf16be.txt': swapped(Buffer.from(`\ufeff${text}`, 'utf16le')),
};
const refused: Readonly<Record<string, Buffer>> = {
  'latin1.txt': Buffer.from('café', 'latin1'),
  'utf16-without-mark.txt': Buffer.from('a cat', 'utf16le'),
  'shift-jis.txt': Buffer.from([0x94, 0x4c, 0x0a]),
};

function folderOf(context: TestContext, files: Readonly<Record<string, Buffer>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sd-text-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  return folder;
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {}

async function linesOf(path: string, input: AsyncIterable<Uint8Array> = nothing()): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of textLines(path, input)) lines.push(line);
  return lines;
}

test('text files are UTF-8, or UTF-16 by their mark; others are refused by name', async (context) => {
  const folder = folderOf(context, { ...readable, ...refused });
  for (const name of Object.keys(readable)) {
    assert.equal(await readTextOf('text', join(folder, name)), text, name);
    assert.equal(await readTextIfThere('text', join(folder, name)), text, name);
    assert.deepEqual(await linesOf(join(folder, name)), ['café', '猫🐱'], name);
  }
  for (const name of Object.keys(refused)) {
    const expected = { code: 'file-corrupt', message: new RegExp(`${name} is not UTF-8`) };
    await assert.rejects(readTextOf('text', join(folder, name)), expected);
    await assert.rejects(linesOf(join(folder, name)), expected);
  }
});

test('lines of standard input: characters cut by chunks stay whole, another encoding is refused', async () => {
  async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Uint8Array, void, void> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  for (const bytes of Object.values(readable)) assert.deepEqual(await linesOf('-', chunks(bytes, 3)), ['café', '猫🐱']);
  await assert.rejects(linesOf('-', chunks(Buffer.from('café', 'latin1'), 3)), /Standard input is not UTF-8/);
});

test("captions of COCO with a mark, and with Python's NaN", () => {
  const json = '\ufeff{"annotations": [{"caption": "a cat", "score": NaN}, {"caption": "NaN", "id": -Infinity}]}';
  assert.deepEqual(captionList(json, 'captions.json'), ['a cat', 'NaN']);
  assert.throws(() => captionList('{"annotations": [', 'captions.json'), { code: 'file-corrupt' });
  assert.throws(() => captionList('[1]', 'captions.json'), { code: 'file-corrupt' });
});

test("workflows as Python prints them: ComfyUI's is_changed is NaN", () => {
  const made = parseExactJson(
    '{"3": {"is_changed": [NaN], "a": -Infinity, "b": Infinity, "c": "NaN"}}',
    'The workflow',
  );
  assert.deepEqual(made, { 3: { is_changed: [null], a: null, b: null, c: 'NaN' } });
  for (const wrong of ['{"a": NaNs}', '{"a": nan}', '{NaN: 1}', '{"a": --Infinity}'])
    assert.throws(() => parseExactJson(wrong, 'The workflow'), { code: 'file-corrupt' });
});
