/** Rounding to float8, against PyTorch's (2.13): `torch.tensor(x).to(dtype).float()`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { float8E4m3ToNumber, float8E5m2ToNumber } from '../../src/tensor/convert.ts';
import { roundToFloat8 } from '../../src/tensor/float8-rounding.ts';

test('numbers round to the nearest float8, ties to even', () => {
  const e4m3 = [0.3, 1.0625, 1.1875, -0.001, 0.0009765625, 447, 464, 465, -1e9].map((x) =>
    roundToFloat8(x, 'float8_e4m3fn'),
  );
  assert.deepEqual(e4m3, [0.3125, 1, 1.25, -0.001953125, 0, 448, 448, 448, -448]);
  const e5m2 = [0.3, 1.125, 1.375, 1e-5, 57344, 61439, 61440, -1e9].map((x) => roundToFloat8(x, 'float8_e5m2'));
  const inf = Number.POSITIVE_INFINITY;
  assert.deepEqual(e5m2, [0.3125, 1, 1.5, 1.52587890625e-5, 57344, 57344, inf, -inf]);
});

test('every float8 stays as it is', () => {
  for (let bits = 0; bits < 256; bits++) {
    const [a, b] = [float8E4m3ToNumber(bits), float8E5m2ToNumber(bits)];
    if (!Number.isNaN(a)) assert.ok(Object.is(roundToFloat8(a, 'float8_e4m3fn'), a), `${a}`);
    if (Number.isFinite(b)) assert.ok(Object.is(roundToFloat8(b, 'float8_e5m2'), b), `${b}`);
  }
});
