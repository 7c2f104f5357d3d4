/** A1111's styles: the file, and prompts with them. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { parseStyles, styled } from '../../src/server/styles.ts';

test('a CSV file with quotes, line breaks and the old name of a column', () => {
  const text =
    '\uFEFFname,text,negative_prompt\r\nink,"ink drawing, ""fine""\nlines",colour\r\n,nameless,\r\nplain,,\r\nink,new,\r\n';
  assert.deepEqual(parseStyles(text), [
    { name: 'ink', prompt: 'new', negativePrompt: '' },
    { name: 'plain', prompt: '', negativePrompt: '' },
  ]);
  assert.equal(parseStyles(text.replace('ink,new,\r\n', ''))[0]?.prompt, 'ink drawing, "fine"\nlines');
  assert.deepEqual(parseStyles(''), []);
});

test('styles go behind the prompt, or around it', () => {
  assert.equal(styled('a cat ', ['ink', '', 'old']), 'a cat, ink, old');
  assert.equal(styled('', ['ink']), 'ink');
  assert.equal(styled('a cat', ['photo of {prompt}, {prompt}', 'sharp']), 'photo of a cat, a cat, sharp');
});
