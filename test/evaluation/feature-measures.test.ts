/** FID, KID, inception score, precision and recall and CLIP score against the recorded values of training/eval (pytorch-fid, clean-fid, torchmetrics). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clipScore } from '../../src/evaluation/clip-score.ts';
import { featureStatistics, frechetDistance } from '../../src/evaluation/frechet-distance.ts';
import { inceptionScore } from '../../src/evaluation/inception-score.ts';
import { drawSubsets, kernelDistance, kernelDistanceOfSubsets } from '../../src/evaluation/kernel-distance.ts';
import { featureMatrix, type Matrix, takeRows } from '../../src/evaluation/matrix.ts';
import { precisionRecall } from '../../src/evaluation/precision-recall.ts';
import { symmetricEigen, symmetricEigenvalues } from '../../src/evaluation/symmetric-eigen.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const part = 'training/eval';
const tensors = (name: string) => readTensors(reference(`${part}/${name}.safetensors`));
const expected = (name: string) => JSON.parse(readFileSync(reference(`${part}/${name}.json`), 'utf8'));
const first = (matrix: Matrix, rows: number): Matrix =>
  takeRows(
    matrix,
    Array.from({ length: rows }, (_, i) => i),
  );
const relative = (got: number, want: number): number => Math.abs(got - want) / Math.abs(want);

const fid = tensors('fid');
const a = featureMatrix(pick(fid, 'in.gaussian_500x64.a'));
const b = featureMatrix(pick(fid, 'in.gaussian_500x64.b'));
const edit = (matrix: Matrix, change: (value: number, column: number) => number): Matrix => ({
  ...matrix,
  data: matrix.data.map((value, i) => change(value, i % matrix.columns)),
});
const columns = (matrix: Matrix, count: number): Matrix => ({
  rows: matrix.rows,
  columns: count,
  data: Float64Array.from(
    { length: matrix.rows * count },
    (_, i) => matrix.data[Math.floor(i / count) * matrix.columns + (i % count)] as number,
  ),
});

/** The sets as index.json describes them; in float32, as they were. */
const sets: Readonly<Record<string, readonly [Matrix, Matrix]>> = {
  gaussian_500x64: [a, b],
  same_set: [a, a],
  fewer_samples_than_dims: [first(a, 40), first(b, 40)],
  singular_low_rank: [
    featureMatrix(pick(fid, 'in.singular_low_rank.a')),
    featureMatrix(pick(fid, 'in.singular_low_rank.b')),
  ],
  constant_columns: [edit(a, (value, column) => (column < 5 ? 0.25 : value)), b],
  zero_covariance: [{ rows: 50, columns: 64, data: new Float64Array(50 * 64).fill(0.25) }, b],
  shift_only: [a, edit(a, (value) => Math.fround(value + 0.5))],
  small_2d: [columns(first(a, 30), 2), columns(first(b, 50), 2)],
};

test('FID: every recorded pair of sets, compared with the form by eigenvalues', () => {
  for (const [name, want] of Object.entries<{ eigenvalue_form: number; tolerance_abs: number }>(expected('fid'))) {
    const [x, y] = sets[name] as readonly [Matrix, Matrix];
    recordParity({
      part,
      case: 'fid',
      output: name,
      reference: 'pytorch-fid',
      error: Math.abs(frechetDistance(x, y) - want.eigenvalue_form),
      tolerance: want.tolerance_abs,
    });
    recordParity({
      part,
      case: 'fid',
      output: `${name}, sides swapped`,
      error: Math.abs(frechetDistance(y, x) - want.eigenvalue_form),
      tolerance: want.tolerance_abs,
    });
  }
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

test('KID: all pictures, the given subsets, and a first subset by rows', () => {
  const want = expected('kid');
  const x = first(a, 200);
  const y = first(b, 220);
  const kid = tensors('kid');
  const indices = (name: string): number[][] => {
    const { data, shape } = pick(kid, name);
    const size = shape[1] as number;
    return Array.from({ length: shape[0] as number }, (_, i) =>
      Array.from(data.slice(i * size, (i + 1) * size), Number),
    );
  };
  const ys = indices('in.subset_y');
  const got = kernelDistanceOfSubsets(
    x,
    y,
    indices('in.subset_x').map((rows, i) => ({ x: rows, y: ys[i] as number[] })),
  );
  const row = (output: string, value: number, wanted: number) =>
    recordParity({
      part,
      case: 'kid',
      output,
      reference: 'torchmetrics, clean-fid',
      error: relative(value, wanted),
      tolerance: 1e-6,
      note: 'relative',
    });
  row('all_samples_unbiased', kernelDistance(x, y), want.all_samples_unbiased);
  for (const [i, value] of got.values.entries()) row(`subset_values.${i}`, value, want.subset_values[i]);
  row('subset_mean', got.mean, want.subset_mean);
  row('subset_std_population', got.standardDeviation, want.subset_std_population);
  row('clean_fid_form_same_subsets', got.mean, want.clean_fid_form_same_subsets);
  row(
    'torchmetrics_poly_mmd_first_subset_of_rows',
    kernelDistance(first(a, 100), first(b, 100)),
    want.torchmetrics_poly_mmd_first_subset_of_rows.own,
  );
});

test('KID subsets: drawn from a generator, without repetition, no larger than the sets', () => {
  const subsets = drawSubsets({ x: 5, y: 9 }, new TorchGenerator(1), 3, 7);
  assert.equal(subsets.length, 3);
  for (const { x, y } of subsets) assert.deepEqual([new Set(Array.from(x)).size, new Set(Array.from(y)).size], [5, 5]);
  assert.deepEqual(drawSubsets({ x: 5, y: 9 }, new TorchGenerator(1), 3, 7), subsets);
});

test('inception score: ten splits, each of them, and one', () => {
  const want = expected('inception_score');
  const logits = pick(tensors('inception_score'), 'in.logits');
  const got = inceptionScore(logits, want.splits);
  const row = (output: string, value: number, wanted: number) =>
    recordParity({
      part,
      case: 'inception_score',
      output,
      reference: 'torchmetrics',
      error: relative(value, wanted),
      tolerance: 1e-6,
      note: 'relative',
    });
  for (const [i, value] of got.values.entries()) row(`per_split.${i}`, value, want.per_split[i]);
  assert.equal(got.values.length, want.per_split.length);
  row('mean', got.mean, want.mean);
  row('std_unbiased', got.standardDeviation, want.std_unbiased);
  row('std_population', got.populationDeviation, want.std_population);
  row('one_split', inceptionScore(logits, 1).mean, want.one_split);
});

test('inception score: pieces are cut as torch.chunk cuts', () => {
  const logits: Matrix = { rows: 7, columns: 2, data: new Float64Array(14) };
  assert.equal(inceptionScore(logits, 5).values.length, 4); // 2, 2, 2, 1
  assert.equal(inceptionScore(logits, 5).mean, 1);
});

test('precision, recall, density and coverage: exact counts', () => {
  const want = expected('precision_recall');
  const t = tensors('precision_recall');
  for (const k of [1, 3, 5]) {
    const got = precisionRecall(pick(t, 'in.real'), pick(t, 'in.fake'), k);
    for (const name of ['precision', 'recall', 'density', 'coverage'] as const) {
      recordParity({
        part,
        case: 'precision_recall',
        output: `k${k}.${name}`,
        reference: 'Kynkäänniemi et al. 2019',
        error: Math.abs(got[name] - want[`k${k}`][name]),
        tolerance: name === 'density' ? 1e-15 : 0,
        ...(name === 'density' ? { note: 'a count over k n: one division or two differ in the last bit' } : {}),
      });
    }
  }
  assert.throws(() => precisionRecall(first(a, 3), b, 3), { code: 'invalid-argument' });
});

test('CLIP score: cosines, scores and both means', () => {
  const want = expected('clip_score');
  const t = tensors('clip_score');
  const got = clipScore(pick(t, 'in.image'), pick(t, 'in.text'));
  const row = (output: string, value: number, wanted: number) =>
    recordParity({
      part,
      case: 'clip_score',
      output,
      reference: 'torchmetrics CLIPScore',
      error: Math.abs(value - wanted),
      tolerance: 1e-4,
    });
  for (const [i, value] of got.cosines.entries()) row(`cosine.${i}`, value, want.cosine[i]);
  for (const [i, value] of got.scores.entries()) row(`score.${i}`, value, want.score[i]);
  row('mean_of_clamped', got.mean, want.mean_of_clamped);
  row('clamped_mean', got.clampedMean, want.clamped_mean);
});
