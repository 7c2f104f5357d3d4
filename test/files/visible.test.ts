/** Text of others as a person may safely see it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StableDiffusionError } from '../../src/errors.ts';
import { visible, visibleLines } from '../../src/visible.ts';

test('what a terminal obeys becomes an escape', () => {
  assert.equal(visible('\x1b]52;c;cm0=\x07'), '\\u001b]52;c;cm0=\\u0007');
  assert.equal(visible('\u009b31m'), '\\u009b31m');
  assert.equal(visible('a\rb\x08c\x7f'), 'a\\u000db\\u0008c\\u007f');
});

test('what reorders or hides text becomes an escape (Trojan Source)', () => {
  assert.equal(visible('user\u202e gnp.exe'), 'user\\u202e gnp.exe');
  assert.equal(visible('\u2066x\u2069'), '\\u2066x\\u2069');
  assert.equal(visible('a\u2028b'), 'a\\u2028b');
  assert.equal(visible('\u{e0041}'), '\\udb40\\udc41');
  assert.equal(visible('\ud800'), '\\ud800');
});

test('letters, emoji and their joiners stay', () => {
  const text = 'Äpfel 红苹果 👩‍🚀 שלום';
  assert.equal(visible(text), text);
});

test('line breaks stay only in texts of several lines', () => {
  assert.equal(visible('a\nb\tc'), 'a\\nb\\tc');
  assert.equal(visibleLines('a\nb\tc'), 'a\nb\tc');
});

test('a line of JSON keeps its value', () => {
  const value = { name: '\u009b31m\u202e\u2028' };
  const line = visibleLines(JSON.stringify(value));
  assert.doesNotMatch(line, /[\u009b\u202e\u2028]/u);
  assert.deepEqual(JSON.parse(line), value);
});

test('long values are cut', () => assert.equal(visible('abcdef', 3), 'abc…'));

test('messages of errors are visible text', () =>
  assert.equal(new StableDiffusionError('file-corrupt', 'tensor \x1b[2J').message, 'tensor \\u001b[2J'));
