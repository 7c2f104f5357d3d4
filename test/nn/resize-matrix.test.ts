/** Matrices of resizing, against `torch.nn.functional.interpolate` and `adaptive_avg_pool1d` (torch 2.13) on unit vectors. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  antialiasMatrix,
  areaMatrix,
  bicubicAlignedMatrix,
  composeMatrices,
  type ResizeMatrix,
} from '../../src/nn/resize-matrix.ts';

function close(got: ResizeMatrix, want: ResizeMatrix, tolerance: number): void {
  assert.deepEqual(
    got.map((row) => row.length),
    want.map((row) => row.length),
  );
  for (const [i, row] of want.entries())
    for (const [j, weight] of row.entries())
      assert.ok(Math.abs((got[i]?.[j] ?? Number.NaN) - weight) <= tolerance, `[${i}, ${j}] ${got[i]?.[j]} ${weight}`);
}

test('bicubic with aligned corners, down and up', () => {
  const down = [
    [1, 0, 0, 0, 0],
    [-0.11111116, 0.79629624, 0.37037045, -0.05555582, 0],
    [0, -0.05555534, 0.37037027, 0.79629636, -0.11111116],
    [0, 0, 0, 0, 1],
  ];
  const up = [
    [1, 0, 0],
    [0.68518507, 0.37037045, -0.05555582],
    [0.31481504, 0.7962963, -0.11111116],
    [0, 1, 0],
    [-0.11111116, 0.79629624, 0.31481463],
    [-0.05555534, 0.37037027, 0.6851852],
    [0, 0, 1],
  ];
  close(bicubicAlignedMatrix(5, 4), down, 5e-7);
  close(bicubicAlignedMatrix(3, 7), up, 5e-7);
});

test('area: each output pixel is the mean of the input pixels it touches', () => {
  close(
    areaMatrix(5, 3),
    [
      [0.5, 0.5, 0, 0, 0],
      [0, 1 / 3, 1 / 3, 1 / 3, 0],
      [0, 0, 0, 0.5, 0.5],
    ],
    1e-15,
  );
  close(
    areaMatrix(2, 4),
    [
      [1, 0],
      [1, 0],
      [0, 1],
      [0, 1],
    ],
    0,
  );
});

test('every row of a composed resizing sums to 1', () => {
  for (const row of composeMatrices(bicubicAlignedMatrix(30, 7), antialiasMatrix(30, 30 / 7))) {
    assert.ok(Math.abs(row.reduce((sum, weight) => sum + weight, 0) - 1) < 1e-12);
  }
});
