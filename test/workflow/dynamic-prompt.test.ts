/** Texts of the page's prompts: comments are taken out in linear time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chosenText } from '../../src/workflow/page/dynamic-prompt.ts';

for (const [text, wanted] of [
  ['a /* b */ c', 'a  c'],
  ['a // b\nc', 'a \nc'],
  ['/*/ a', '/*/ a'],
  ['a /* b', 'a /* b'],
  ['/* a //*/b', 'b'],
  ['//* a */\nb', '\nb'],
] as const)
  test(`comments: ${JSON.stringify(text)}`, () =>
    assert.equal(
      chosenText(text, () => 0),
      wanted,
    ));

test('a million openings of comments are read in linear time', () => {
  const text = '/* '.repeat(400_000);
  assert.equal(
    chosenText(text, () => 0),
    text,
  );
});
