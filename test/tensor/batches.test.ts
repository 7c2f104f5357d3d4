/** Batches along the first axis, of single tensors and of named records. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  inputsLayout,
  joinBatches,
  joinInputs,
  repeatBatch,
  repeatInputs,
  takeBatch,
  takeInputs,
} from '../../src/tensor/batches.ts';
import { float32, int64 } from '../../src/tensor/tensor.ts';

const two = { context: float32([2, 1, 2], [1, 2, 3, 4]), y: int64([2], [7, 8]) };

test('a batch is taken apart and joined again', () => {
  const second = takeBatch(two.context, 1, 2);
  assert.deepEqual([...second.data], [3, 4]);
  assert.deepEqual(joinBatches([takeBatch(two.context, 0, 1), second]), two.context);
  assert.throws(() => joinBatches([]), { code: 'invalid-argument' });
});

test('a batch of one is repeated; another number of items is refused by name', () => {
  assert.deepEqual([...repeatBatch(float32([1, 2], [1, 2]), 3, 'context').data], [1, 2, 1, 2, 1, 2]);
  assert.equal(repeatBatch(two.y, 2, 'y'), two.y);
  assert.throws(() => repeatInputs(two, 3), { code: 'shape-mismatch', message: /context has 2 items for 3 images/ });
});

test('a record is split and joined whatever its inputs are called', () => {
  const [first, second] = [takeInputs(two, 0, 1), takeInputs(two, 1, 2)];
  assert.deepEqual([...second.y.data], [8n]);
  assert.deepEqual(joinInputs([first, second]), two);
  assert.throws(() => joinInputs([]), { code: 'invalid-argument' });
});

test('records of another layout are not joined', () => {
  const longer = { ...two, context: float32([1, 2, 2], [1, 2, 3, 4]) };
  assert.notEqual(inputsLayout(two), inputsLayout(longer));
  assert.equal(inputsLayout(two), inputsLayout(takeInputs(two, 0, 1)));
  assert.throws(() => joinInputs([two, longer]), { code: 'shape-mismatch' });
  assert.throws(() => joinInputs<Record<string, typeof two.context>>([two as never, { context: two.context }]), {
    code: 'shape-mismatch',
  });
});
