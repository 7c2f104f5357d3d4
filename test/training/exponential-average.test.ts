/** The rate of the exponential average of parameters. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { averageRate } from '../../src/training/step/exponential-average.ts';

test('the decay is a float32 number, as in the original', () =>
  assert.equal(averageRate({}, 200_000), Math.fround(1 - Math.fround(0.9999))));
