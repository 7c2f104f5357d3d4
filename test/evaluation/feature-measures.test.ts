/** Measures of features: kept statistics, eigenvalues, subsets, refused sets. The recorded values are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { featureStatistics, frechetDistance } from '../../src/evaluation/frechet-distance.ts';
import { inceptionScore } from '../../src/evaluation/inception-score.ts';
import { drawSubsets } from '../../src/evaluation/kernel-distance.ts';
import { featureMatrix, type Matrix, takeRows } from '../../src/evaluation/matrix.ts';
import { symmetricEigen, symmetricEigenvalues } from '../../src/evaluation/symmetric-eigen.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const part = 'training/eval';
const tensors = (name: string) => readTensors(reference(`${part}/${name}.safetensors`));
const first = (matrix: Matrix, rows: number): Matrix =>
  takeRows(
    matrix,
    Array.from({ length: rows }, (_, i) => i),
  );

const fid = tensors('fid');
const a = featureMatrix(pick(fid, 'in.gaussian_500x64.a'));
const b = featureMatrix(pick(fid, 'in.gaussian_500x64.b'));
const columns = (matrix: Matrix, count: number): Matrix => ({
  rows: matrix.rows,
  columns: count,
  data: Float64Array.from(
    { length: matrix.rows * count },
    (_, i) => matrix.data[Math.floor(i / count) * matrix.columns + (i % count)] as number,
  ),
});

test('FID from statistics kept from before is the same', () => {
  assert.equal(frechetDistance(featureStatistics(a), featureStatistics(b)), frechetDistance(a, b));
});

test('FID refuses sets of other dimensions, single pictures and values that are not finite', () => {
  assert.throws(() => frechetDistance(a, columns(b, 3)), { code: 'shape-mismatch' });
  assert.throws(() => frechetDistance(first(a, 1), b), { code: 'invalid-argument' });
  assert.throws(() => featureMatrix({ dtype: 'float32', shape: [2, 2], data: Float32Array.of(0, 1, Number.NaN, 3) }), {
    code: 'not-finite',
  });
  assert.throws(() => featureMatrix({ dtype: 'float32', shape: [4], data: new Float32Array(4) }), {
    code: 'shape-mismatch',
  });
});

test('eigenvalues: of a matrix with known ones, diagonal, zero, of one and no row', () => {
  const n = 40;
  // The second-difference matrix: 2 - 2 cos(k pi / (n + 1)).
  const data = Float64Array.from({ length: n * n }, (_, i) => {
    const distance = Math.abs(Math.floor(i / n) - (i % n));
    return distance === 0 ? 2 : distance === 1 ? -1 : 0;
  });
  const got = symmetricEigenvalues({ rows: n, columns: n, data });
  for (let k = 0; k < n; k++)
    assert.ok(Math.abs((got[k] as number) - (2 - 2 * Math.cos(((k + 1) * Math.PI) / (n + 1)))) < 1e-13);
  const generator = new TorchGenerator(3);
  const random = generator.randnOf('float64', [n, n]).data;
  const symmetric = {
    rows: n,
    columns: n,
    data: random.map((value, i) => value + (random[(i % n) * n + Math.floor(i / n)] as number)),
  };
  const values = symmetricEigenvalues(symmetric);
  const trace = symmetric.data.reduce((sum, value, i) => (i % (n + 1) === 0 ? sum + value : sum), 0);
  const squares = symmetric.data.reduce((sum, value) => sum + value * value, 0);
  assert.ok(Math.abs(values.reduce((sum, value) => sum + value, 0) - trace) < 1e-11);
  assert.ok(Math.abs(values.reduce((sum, value) => sum + value * value, 0) - squares) < 1e-10);
  const { vectors } = symmetricEigen(symmetric);
  for (let k = 0; k < n; k++) {
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += (symmetric.data[i * n + j] as number) * (vectors.data[k * n + j] as number);
      assert.ok(Math.abs(sum - (values[k] as number) * (vectors.data[k * n + i] as number)) < 1e-12);
    }
  }
  assert.deepEqual(
    [...symmetricEigenvalues({ rows: 3, columns: 3, data: Float64Array.of(3, 0, 0, 0, 1, 0, 0, 0, 2) })],
    [1, 2, 3],
  );
  assert.deepEqual([...symmetricEigenvalues({ rows: 2, columns: 2, data: new Float64Array(4) })], [0, 0]);
  assert.deepEqual([...symmetricEigenvalues({ rows: 1, columns: 1, data: Float64Array.of(7) })], [7]);
  assert.equal(symmetricEigenvalues({ rows: 0, columns: 0, data: new Float64Array(0) }).length, 0);
});

test('KID subsets: drawn from a generator, without repetition, no larger than the sets', () => {
  const subsets = drawSubsets({ x: 5, y: 9 }, new TorchGenerator(1), 3, 7);
  assert.equal(subsets.length, 3);
  for (const { x, y } of subsets) assert.deepEqual([new Set(Array.from(x)).size, new Set(Array.from(y)).size], [5, 5]);
  assert.deepEqual(drawSubsets({ x: 5, y: 9 }, new TorchGenerator(1), 3, 7), subsets);
});

test('inception score: pieces are cut as torch.chunk cuts', () => {
  const logits: Matrix = { rows: 7, columns: 2, data: new Float64Array(14) };
  assert.equal(inceptionScore(logits, 5).values.length, 4); // 2, 2, 2, 1
  assert.equal(inceptionScore(logits, 5).mean, 1);
});
