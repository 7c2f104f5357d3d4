/** NumPy files that are cut are refused by name. Their values are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readNpy, writeNpy } from '../../src/formats/npy.ts';
import { float32 } from '../../src/tensor/tensor.ts';

test('every cut of a file is refused', () => {
  const whole = writeNpy(float32([2, 3], new Float32Array(6).fill(1.5)));
  assert.deepEqual(readNpy(whole, 'x.npy').shape, [2, 3]);
  for (let length = 0; length < whole.length; length++)
    assert.throws(() => readNpy(whole.slice(0, length), 'x.npy'), { code: 'file-corrupt', message: /x\.npy/ });
});
