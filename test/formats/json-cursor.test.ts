/** Strings of JSON: the same values and the same places of errors as character by character, at the speed of JavaScript's parser. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { orderedKeys, parseExactJson } from '../../src/formats/exact-json.ts';
import { jsonCursor } from '../../src/formats/json-cursor.ts';
import { processorTime } from '../processor-time.ts';

test('escapes are read, and the place of a wrong one is named', () => {
  assert.equal(jsonCursor(String.raw`"a\"b\\c\/d\b\f\n\r\tA😀é"`).string(), 'a"b\\c/d\b\f\n\r\tA😀é');
  assert.equal(jsonCursor(String.raw`"\\"`).string(), '\\');
  for (const [text, place] of [
    [String.raw`"a\x"`, /an escape was expected at character 4/],
    [String.raw`"a\u12"`, /four hexadecimal digits was expected at character 4/],
    [String.raw`"a\"`, /the end of a string was expected at character 4/],
    ['"a\nb"', /the end of a string was expected at character 2/],
    ['"a', /the end of a string was expected at character 2/],
    [String.raw`"a\ud83d"`, /half of a surrogate pair at character 8/],
    [String.raw`"\ude00"`, /half of a surrogate pair at character 7/],
  ] as const)
    assert.throws(() => jsonCursor(text).string(), place, text);
});

test('a text of escapes takes no more than some times what JavaScript takes', () => {
  const text = `{"a":"${'\\n'.repeat(3_000_000)}"}`;
  const timeOf = (work: () => void): number => Math.min(...[1, 2, 3].map(() => processorTime(work)));
  const own = timeOf(() => parseExactJson(text, 'x'));
  const native = timeOf(() => JSON.parse(text));
  // 3 times here; 60 times before.
  assert.ok(own < 15 * native, `${own} ms, and ${native} ms`);
});

test('the order of keys that are numbers is kept, and so are keys that JavaScript has a meaning for', () => {
  const value = parseExactJson('{"b":1,"10":2,"9":{"1":0,"0":0},"__proto__":3,"constructor":4}', 'x') as object;
  assert.deepEqual(orderedKeys(value), ['b', '10', '9', '__proto__', 'constructor']);
  assert.deepEqual(orderedKeys((value as { readonly 9: object })[9]), ['1', '0']);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  const keys = Array.from({ length: 20 }, (_, i) => `"k${i}":0`).join(',');
  assert.throws(() => parseExactJson(`{${keys},"k7":1}`, 'x'), /the key "k7" appears twice/);
});
