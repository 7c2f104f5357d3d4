/** The rows of layout maps, one kind at a time: values, shapes, locations, and what happens to names that a map does not know. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { float32 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { type NameMap, type NameRow, renamed } from '../../src/checkpoints/rename.ts';
import { joined, withNames, withoutPrefix, withPrefix } from '../../src/weights/view.ts';
import { numberedSource, readAll, shapedSource } from './shaped-source.ts';

const map = (...rows: NameRow[]): NameMap => ({ a: 'a', b: 'b', rows });

test('stacked by heads: rows of a are (head, part, width), those of b (head, width)', async () => {
  const source = memoryWeights(new Map([['qkv', float32([6, 1], [0, 1, 2, 3, 4, 5])]]));
  const parts = renamed(source, map({ a: 'qkv', b: ['q', 'k', 'v'], groups: 2 }), 'a-to-b');
  assert.deepEqual([...(await parts.read('q')).data], [0, 3]);
  assert.deepEqual([...(await parts.read('v')).data], [2, 5]);
  assert.deepEqual((await parts.read('k')).shape, [2, 1]);
});

test('a third of a stack lies where it lies in the file; stacks, heads and transposed matrices have no location', () => {
  const source = {
    ...shapedSource([
      ['w', [6, 2]],
      ['m', [2, 3]],
      ['plain', [4]],
    ]),
    locate: () => ({ path: '/file', offset: 100, length: 48 }),
  };
  const rows = map({ a: 'w', b: ['q', 'k', 'v'] }, { a: 'm', b: 't', transposed: true });
  const parts = renamed(source, rows, 'a-to-b');
  assert.deepEqual(parts.locate?.('k'), { path: '/file', offset: 116, length: 16 });
  assert.equal(parts.locate?.('t'), undefined);
  assert.deepEqual(parts.locate?.('plain'), { path: '/file', offset: 100, length: 48 });
  assert.equal(renamed(source, map({ a: 'w', b: ['q', 'k'], groups: 3 }), 'a-to-b').locate?.('q'), undefined);
  assert.equal(renamed(parts, rows, 'b-to-a').locate?.('w'), undefined);
});

test('a 1x1 convolution and a linear layer are the same bytes; a shape that is the other side’s already is left', async () => {
  const rows = map({ a: 'conv', b: 'linear', ones: 2 });
  const source = numberedSource([['conv', [3, 2, 1, 1]]]);
  const linear = renamed(source, rows, 'a-to-b');
  assert.deepEqual(linear.entries.get('linear')?.shape, [3, 2]);
  assert.deepEqual(await readAll(renamed(linear, rows, 'b-to-a')), await readAll(source));
  assert.deepEqual(renamed(shapedSource([['conv', [3, 2]]]), rows, 'a-to-b').entries.get('linear')?.shape, [3, 2]);
  assert.deepEqual(
    renamed(shapedSource([['conv', [3, 2, 3, 3]]]), rows, 'a-to-b').entries.get('linear')?.shape,
    [3, 2, 3, 3],
  );
});

test('unknown names and incomplete stacks stay; two tensors of one name, unequal parts and uneven stacks are errors', () => {
  const rows = map({ a: 'w', b: ['q', 'k', 'v'] }, { a: 'x', b: 'y' });
  assert.deepEqual(
    [
      ...renamed(
        shapedSource([
          ['q', [1]],
          ['k', [1]],
          ['other', [1]],
        ]),
        rows,
        'b-to-a',
      ).entries.keys(),
    ],
    ['q', 'k', 'other'],
  );
  assert.throws(
    () =>
      renamed(
        shapedSource([
          ['x', [1]],
          ['y', [1]],
        ]),
        rows,
        'a-to-b',
      ),
    { code: 'weights-mismatch', message: /named y/ },
  );
  assert.throws(
    () =>
      renamed(
        shapedSource([
          ['q', [1]],
          ['k', [2]],
          ['v', [1]],
        ]),
        rows,
        'b-to-a',
      ),
    { code: 'weights-mismatch', message: /k .*cannot be stacked/ },
  );
  assert.throws(() => renamed(shapedSource([['w', [7]]]), rows, 'a-to-b'), {
    code: 'weights-mismatch',
    message: /3 equal blocks/,
  });
});

test('views: prefixes, joining, metadata, closing, and reading what is not there', async () => {
  let closed = 0;
  const source = {
    ...shapedSource([
      ['p.a', [1]],
      ['q.b', [2]],
    ]),
    metadata: new Map([['step', 5]]),
    close: async () => void closed++,
  };
  assert.deepEqual([...withoutPrefix(source, 'p.').entries], [['a', { name: 'a', dtype: 'float32', shape: [1] }]]);
  assert.deepEqual([...withPrefix(source, 'm.').entries.keys()], ['m.p.a', 'm.q.b']);
  assert.equal(withoutPrefix(source, 'p.').metadata?.get('step'), 5);
  await withNames(source, (name) => name).close();
  assert.equal(closed, 1);
  assert.throws(() => joined([source, source]), { code: 'weights-mismatch' });
  await assert.rejects(withoutPrefix(source, 'p.').read('b'), { code: 'weights-mismatch' });
});
