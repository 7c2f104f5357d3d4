/** A1111's prompt syntax beyond the recorded cases: its documented examples, embeddings, and prompts made to be slow. */

import assert from 'node:assert/strict';
import test from 'node:test';
import type { StableDiffusionError } from '../../src/errors.ts';
import { parsePromptAttention } from '../../src/prompt/attention.ts';
import { promptChunks } from '../../src/prompt/chunks.ts';
import { withoutComments } from '../../src/prompt/comments.ts';
import { promptParts } from '../../src/prompt/conjunction.ts';
import { applyEmphasis } from '../../src/prompt/emphasis.ts';
import { extraNetworks } from '../../src/prompt/extra-networks.ts';
import { pythonFloat } from '../../src/prompt/python-number.ts';
import { promptSchedule, scheduledIndex } from '../../src/prompt/schedule.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { withPlaceholders } from '../../src/tokenizer/clip-placeholders.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { assertNotQuadratic } from '../processor-time.ts';

test("the examples of A1111's docstrings", () => {
  const of = (prompt: string) => promptSchedule(prompt, { steps: 10 });
  assert.deepEqual(of('a [[[b]]:2]'), [
    [2, 'a '],
    [10, 'a [[b]]'],
  ]);
  assert.deepEqual(of('[(a:2):3]'), [
    [3, ''],
    [10, '(a:2)'],
  ]);
  assert.deepEqual(of('a [b : c : 1] d'), [
    [1, 'a b  d'],
    [10, 'a  c  d'],
  ]);
  assert.deepEqual(of('a[b:[c:d:2]:1]e'), [
    [1, 'abe'],
    [2, 'ace'],
    [10, 'ade'],
  ]);
  assert.deepEqual(of('a [unbalanced'), [[10, 'a [unbalanced']]);
  assert.deepEqual(of('a [{b|d{:.5] c'), [[10, 'a [{b|d{:.5] c']]);
  assert.deepEqual(of('((a][:b:c [d:3]'), [
    [3, '((a][:b:c '],
    [10, '((a][:b:c d'],
  ]);
  assert.deepEqual(of('[fe|||]male').slice(0, 5), [
    [1, 'female'],
    [2, 'male'],
    [3, 'male'],
    [4, 'male'],
    [5, 'female'],
  ]);
  assert.deepEqual(promptSchedule('a [b:1.5] c', { steps: 10, firstPassSteps: 10 }), [
    [5, 'a  c'],
    [10, 'a b c'],
  ]);
  assert.deepEqual(
    parsePromptAttention('a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).').map(([text, weight]) => [
      text,
      Number(weight.toFixed(6)),
    ]),
    [
      ['a ', 1],
      ['house', 1.573],
      [' ', 1.1],
      ['on', 1],
      [' a ', 1.1],
      ['hill', 0.55],
      [', sun, ', 1.1],
      ['sky', 1.4641],
      ['.', 1.1],
    ],
  );
});

test('a call is for the first text whose last step is not before it; behind the last step it is the first', () => {
  const schedule = promptSchedule('[a:b:2]', { steps: 4 });
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((call) => scheduledIndex(schedule, call)),
    [0, 0, 0, 1, 1, 0],
  );
});

test('comments end with their line', () => {
  assert.equal(withoutComments('a # b\nc'), 'a \nc');
  assert.equal(withoutComments('# all\na'), '\na');
  assert.equal(withoutComments('a#b'), 'a\n');
});

test('the vectors of an embedding stay together, and have the weight of their word', () => {
  const tokenizer = withPlaceholders(createClipTokenizer(), [{ token: 'my-style', ids: [50_000, 50_001, 50_002] }]);
  const { chunks } = promptChunks(tokenizer, `${'word '.repeat(73)} (my-style:1.3) end`);
  assert.deepEqual(
    chunks.map(({ ids }) => ids.indexOf(50_000)),
    [-1, 1],
  );
  assert.deepEqual(chunks[1]?.ids.slice(1, 5), [50_000, 50_001, 50_002, ...createClipTokenizer().encode('end')]);
  assert.deepEqual(chunks[1]?.weights.slice(0, 6), [1, 1.3, 1.3, 1.3, 1, 1]);
  assert.deepEqual(chunks[0]?.ids.slice(74), [49_407, 49_407, 49_407]);
});

test('emphasis: the mean is restored over all, each counted as often as it is there', () => {
  const contexts = float32([2, 1, 2], [1, 3, 5, 7]);
  assert.deepEqual([...applyEmphasis(contexts, [[2], [1]], 'Original').data], [1.6, 4.8, 4, 5.6].map(Math.fround));
  assert.deepEqual(
    [...applyEmphasis(contexts, [[2], [1]], 'Original', [3, 1]).data],
    [2, 6, 5, 7].map((value) => Math.fround(value * Math.fround(3 / 4.5))),
  );
  assert.throws(() => applyEmphasis(contexts, [[1]], 'Original'), { code: 'shape-mismatch' });
});

test('prompts of 30,000 characters that nest, repeat and never end are read at once', () => {
  for (const piece of [
    '(',
    '[',
    ')',
    '[a|',
    '[a:',
    ':',
    ' ',
    '<a:',
    '\\',
    '[a|b]',
    'a :1',
    '(a:1.1',
    'AND ',
    ' BREAK',
    '#',
    '.',
  ]) {
    assertNotQuadratic(piece, 7500, (size) => {
      const prompt = piece.repeat(Math.ceil(size / piece.length));
      try {
        parsePromptAttention(prompt);
      } catch (error) {
        assert.equal((error as StableDiffusionError).code, 'too-large', piece);
      }
      promptParts(prompt);
      extraNetworks(withoutComments(prompt));
      assert.ok(promptSchedule(prompt, { steps: 3 }).length <= 3);
    });
  }
  const nested = (depth: number): string => `${'['.repeat(depth)}a${':0.5]'.repeat(depth)}`;
  assert.deepEqual(promptSchedule(nested(200), { steps: 2 }), [
    [1, ''],
    [2, 'a'],
  ]);
  assert.throws(() => promptSchedule(nested(5000), { steps: 2 }), { code: 'too-large' });
});

test("weights in digits of other scripts, as Python's float reads them", () => {
  assert.deepEqual(parsePromptAttention('(猫:１.３)'), [['猫', 1.3]]);
  assert.deepEqual(parsePromptAttention('(a:-٠.٥)'), [['a', -0.5]]);
  assert.deepEqual(parsePromptAttention('(a:𝟏.𝟓)'), [['a', 1.5]]);
  assert.deepEqual(promptParts('a :٣ AND b : -２.５'), [
    { text: 'a', weight: 3 },
    { text: ' b', weight: -2.5 },
  ]);
});

test('pythonFloat', () => {
  for (const [text, value] of [
    ['1', 1],
    [' -.5 ', -0.5],
    ['2e-1', 0.2],
    ['१२', 12],
  ] as const)
    assert.equal(pythonFloat(text), value, text);
  for (const text of ['', 'abc', '1.2.3', '½', '²', '0x10']) assert.ok(Number.isNaN(pythonFloat(text)), text);
});
