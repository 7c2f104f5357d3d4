/** A1111's infotext: Python's numbers and versions, emphasis, properties. Parsing and writing are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatInfotext, infotextPairs, parseInfotext, pythonFloat } from '../../src/image/metadata/infotext.ts';
import { usesEmphasis } from '../../src/image/metadata/infotext-defaults.ts';
import { comparePythonVersions, parsePythonVersion } from '../../src/image/metadata/python-version.ts';
import { assertNotQuadratic } from '../processor-time.ts';

test('pythonFloat prints as Python does', () => {
  const rows: [number, string][] = [
    [7, '7.0'],
    [0.1, '0.1'],
    [1e16, '1e+16'],
    [1e15, '1000000000000000.0'],
    [1e-4, '0.0001'],
    [1e-5, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [-0, '-0.0'],
    [Number.NaN, 'nan'],
    [1e22, '1e+22'],
  ];
  for (const [value, text] of rows) assert.equal(pythonFloat(value), text);
});

test('versions are ordered as PEP 440 orders them', () => {
  const ordered = [
    '1.0.dev1',
    '1.0a1.dev2',
    '1.0a1',
    '1.0b2',
    '1.0rc1',
    'v1.0',
    '1.0.post1.dev3',
    '1.0-2',
    '1.1',
    '1.10',
    '1!0.5',
  ];
  for (let i = 1; i < ordered.length; i++) {
    const [a, b] = [parsePythonVersion(ordered[i - 1] ?? ''), parsePythonVersion(ordered[i] ?? '')];
    assert.ok(a && b && comparePythonVersions(a, b) < 0, `${ordered[i - 1]} < ${ordered[i]}`);
  }
  assert.equal(parsePythonVersion('nonsense'), undefined);
  const [a, b] = [parsePythonVersion('1.0'), parsePythonVersion('v1.0.0+cpu')];
  assert.ok(a && b && comparePythonVersions(a, b) === 0);
});

test('emphasis: brackets that end up with weight 1 are none', () => {
  for (const [prompt, uses] of [
    ['a (b) c', true],
    ['[a]', true],
    ['(a:1.0)', false],
    ['\\(a\\)', false],
    ['()', false],
    ['(a', true],
    ['a) b]', false],
    ['a BREAK b', false],
    ['(a:0.5)', true],
  ] as const) {
    assert.equal(usesEmphasis(prompt), uses, prompt);
  }
});

test('what is formatted is parsed back (property)', () => {
  const key = fc
    .stringMatching(/^[A-Z][a-z]{1,8}( [a-z]{1,5})?$/)
    .filter((name) => !/^(Prompt|Negative prompt|Hypernet|Version|Steps|Sampler|Seed|Size)$/.test(name));
  const value = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .filter(
      (text) =>
        text.trim() === text &&
        !text.includes('"') &&
        !/^\d+x\d+$/.test(text) &&
        ![...text].some((letter) => '\x1c\x1d\x1e\x1f\u0085\ufeff'.includes(letter)),
    );
  const line = fc.string({ maxLength: 40 }).map((text) => text.replace(/[\n\r:]/g, '').trim());
  fc.assert(
    fc.property(line, line, fc.dictionary(key, value, { maxKeys: 5 }), (prompt, negativePrompt, extra) => {
      const settings = Object.entries({ Steps: 20, Sampler: 'Euler a', Seed: 5, ...extra });
      const fields = parseInfotext(formatInfotext({ prompt, negativePrompt, settings }));
      assert.equal(fields['Prompt'], prompt);
      assert.equal(fields['Negative prompt'], negativePrompt);
      for (const [name, text] of Object.entries(extra)) if (name !== text) assert.equal(fields[name], text);
    }),
    { numRuns: 300 },
  );
});

test("pairs are those of A1111's regular expression (property)", () => {
  const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*';
  const original = new RegExp(
    `${space}([\\p{L}\\p{N}_][\\p{L}\\p{N}_ \\-/]+):${space}("(?:\\\\[^\\n]|[^\\\\"])+"|[^,]*)(?:,|$)`,
    'gu',
  );
  const text = fc
    .array(
      fc.constantFrom(
        'a',
        'Ab',
        ' ',
        ': ',
        ':',
        ',',
        ', ',
        '"',
        '\\',
        '-',
        '/',
        'é',
        '😀',
        '𝒳',
        '1x2',
        '\u3000',
        '.',
        '_',
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, (line) => {
      assert.deepEqual(
        infotextPairs(line),
        Array.from(line.matchAll(original), ([, key, value]) => [key, value]),
      );
    }),
    { numRuns: 3000 },
  );
});

test('any text parses, and long hostile ones in linear time', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => void parseInfotext(text)),
    { numRuns: 500 },
  );
  for (const piece of ['a', ' ', 'ab: ', 'ab:"', '\\', '(', '(a', ':', 'a "', '"', ',', 'BREAK ', '[a'])
    assertNotQuadratic(piece, 125_000, (size) => void parseInfotext(piece.repeat(Math.ceil(size / piece.length))));
});
