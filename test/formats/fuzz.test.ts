/**
 * Fuzzing of the file readers within a fixed time: random bytes, and mutations of valid and malicious files. Whatever comes, a reader
 * gives tensors or throws a `StableDiffusionError` with a `file-` code, soon and without much memory.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { StableDiffusionError } from '../../src/errors.ts';
import { byteSize, dtypes } from '../../src/tensor/dtype.ts';
import { bytesOf, elementCount, fromBytes, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { JsonSyntaxError, jsonCursor } from '../../src/formats/json-cursor.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { unpickle } from '../../src/formats/torch/pickle.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { parseShardIndex } from '../../src/formats/sharded.ts';
import { torchHost } from '../../src/formats/torch/globals.ts';
import { nameTensors } from '../../src/formats/torch/names.ts';
import { torchTypes } from '../../src/formats/torch/tensor.ts';
import { reference } from '../reference.ts';

/** Milliseconds a property; `FUZZ_MS` makes it longer by hand. */
const time = Number(process.env['FUZZ_MS'] ?? 2500);
const forAWhile = { numRuns: 1_000_000, interruptAfterTimeLimit: time, markInterruptAsFailure: false } as const;
const slowest = 2000;

const load = (folder: string, pattern: RegExp): Uint8Array[] =>
  readdirSync(reference(folder))
    .filter((name) => pattern.test(name))
    .map((name) => new Uint8Array(readFileSync(join(reference(folder), name))))
    .filter((bytes) => bytes.length < 20_000);

const torchFiles = load('files/ckpt', /\.(?:ckpt|pt)$/);
const safetensorsFiles = load('files/safetensors', /\.safetensors$/);

/** A file with a few edits: bytes set, ranges cut, doubled, or taken from another file. */
const mutated = (files: readonly Uint8Array[]) =>
  fc
    .tuple(
      fc.constantFrom(...files),
      fc.array(fc.tuple(fc.nat(3), fc.nat(), fc.nat(64), fc.uint8Array({ minLength: 1, maxLength: 8 })), {
        minLength: 1,
        maxLength: 6,
      }),
    )
    .map(([file, edits]) => {
      let bytes = file;
      for (const [kind, at, length, patch] of edits) {
        const start = bytes.length === 0 ? 0 : at % bytes.length;
        const before = bytes.subarray(0, start);
        const after = bytes.subarray(start);
        if (kind === 0) bytes = join3(before, patch, after.subarray(patch.length));
        else if (kind === 1) bytes = join3(before, after.subarray(length));
        else if (kind === 2) bytes = join3(before, after.subarray(0, length), after);
        else bytes = join3(before, patch, after);
      }
      return bytes;
    });

function join3(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

async function survives(bytes: Uint8Array, label: string): Promise<void> {
  const before = process.cpuUsage();
  try {
    const source = await openWeights(memoryBytes(bytes, label));
    for (const [name, { dtype, shape }] of source.entries) {
      const value = await source.read(name);
      assert.equal(value.dtype, dtype);
      assert.equal(value.data.length, elementCount(shape));
    }
    await source.close();
  } catch (cause) {
    assert.ok(cause instanceof StableDiffusionError, cause instanceof Error ? cause.stack : String(cause));
    assert.match(cause.code, /^file-/);
    assert.ok(cause.message.includes(label));
  }
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 1000 * slowest, 'in bounded time');
}

const peakBefore = process.resourceUsage().maxRSS;

test('mutated .ckpt files', () =>
  fc.assert(
    fc.asyncProperty(mutated(torchFiles), (bytes) => survives(bytes, 'x.ckpt')),
    forAWhile,
  ));

test('mutated .safetensors files', () =>
  fc.assert(
    fc.asyncProperty(mutated(safetensorsFiles), (bytes) => survives(bytes, 'x.safetensors')),
    forAWhile,
  ));

test('random bytes behind the signatures of the formats', () =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom(
        'PK\x03\x04',
        '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.',
        '\x80\x04',
        '',
        '\x02\0\0\0\0\0\0\0{}',
      ),
      fc.uint8Array({ maxLength: 400 }),
      (head, tail) => survives(join3(Buffer.from(head, 'latin1'), tail), 'x'),
    ),
    forAWhile,
  ));

const strings = [
  '',
  'a',
  'state_dict',
  'collections',
  'OrderedDict',
  'os',
  'system',
  'builtins',
  'set',
  'list',
  'bytearray',
  'dict',
  'omegaconf.base',
  'Metadata',
  '__proto__',
];

/** Opcodes in random order, biased to those that build and refer. */
const program = fc
  .array(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.constantFrom(...'()]}tuesaRb0N12ldo.Q\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94'.split('')),
      },
      { weight: 3, arbitrary: fc.nat(20).map((index) => `h${String.fromCharCode(index)}`) },
      { weight: 2, arbitrary: fc.nat(20).map((index) => `q${String.fromCharCode(index)}`) },
      {
        weight: 2,
        arbitrary: fc.constantFrom(...strings).map((text) => `\x8c${String.fromCharCode(text.length)}${text}`),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.constantFrom(...strings), fc.constantFrom(...strings))
          .map(([module, name]) => `c${module}\n${name}\n`),
      },
      { weight: 1, arbitrary: fc.nat(255).map((byte) => String.fromCharCode(byte)) },
    ),
    { maxLength: 200 },
  )
  .map((opcodes) => new Uint8Array(Buffer.from(`${opcodes.join('')}.`, 'latin1')));

test('random pickle programs build data or are refused', () =>
  fc.assert(
    fc.property(program, (bytes) => {
      const type = torchTypes.get('float32');
      assert.ok(type);
      const host = torchHost('x', () => ({ kind: 'storage', key: '0', type, count: 4, start: 0 }));
      try {
        nameTensors('x', unpickle(bytes, 'x', host).value);
      } catch (cause) {
        assert.ok(cause instanceof StableDiffusionError, cause instanceof Error ? cause.stack : String(cause));
      }
      assert.equal('polluted' in {}, false);
    }),
    forAWhile,
  ));

test('memory stays bounded through all of it', () => {
  assert.ok((process.resourceUsage().maxRSS - peakBefore) / 1024 < 400);
});

test('the JSON cursor takes what JSON.parse takes, and nothing else', () =>
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.json().chain((text) => fc.nat(text.length).map((at) => text.slice(0, at) + text.slice(at + 1))),
        fc.string(),
      ),
      (text) => {
        let strict = true;
        try {
          const cursor = jsonCursor(text);
          cursor.skip();
          cursor.end();
        } catch (cause) {
          assert.ok(cause instanceof JsonSyntaxError);
          strict = false;
          // It refuses more: equal keys, half surrogates.
          if (/twice|surrogate/.test(cause.message)) return;
        }
        let loose = true;
        try {
          JSON.parse(text);
        } catch {
          loose = false;
        }
        assert.equal(strict, loose, text);
      },
    ),
    { ...forAWhile, interruptAfterTimeLimit: time / 2 },
  ));

test('an index of shards is parsed or refused', () =>
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.dictionary(fc.string(), fc.string()).map((map) => JSON.stringify({ weight_map: map })),
      ),
      (text) => {
        try {
          for (const file of parseShardIndex('x', new TextEncoder().encode(text)).values())
            assert.doesNotMatch(file, /[/\\]|^\.\.?$/);
        } catch (cause) {
          assert.ok(cause instanceof StableDiffusionError);
        }
      },
    ),
    { ...forAWhile, interruptAfterTimeLimit: time / 2 },
  ));

test('what is written is read back, whatever the names, types and shapes', () =>
  fc.assert(
    fc.asyncProperty(
      fc.dictionary(
        fc.string({ unit: 'grapheme' }).filter((name) => name !== '__metadata__'),
        fc.tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(3), { maxLength: 4 }), fc.nat(1)),
        { maxKeys: 8 },
      ),
      async (specification) => {
        const tensors = new Map(
          Object.entries(specification).map(([name, [dtype, shape, fill]]): [string, Tensor] => [
            name,
            fromBytes(dtype, shape, new Uint8Array(elementCount(shape) * byteSize(dtype)).fill(fill)),
          ]),
        );
        const chunks: Uint8Array[] = [];
        const entries = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
        for await (const chunk of writeSafetensors(entries, ({ name }) => tensors.get(name) as Tensor))
          chunks.push(chunk);
        const source = await openWeights(memoryBytes(join3(...chunks), 'x.safetensors'));
        assert.equal(source.entries.size, tensors.size);
        for (const [name, value] of tensors) assert.deepEqual(bytesOf(await source.read(name)), bytesOf(value));
      },
    ),
    { ...forAWhile, interruptAfterTimeLimit: time / 2 },
  ));
