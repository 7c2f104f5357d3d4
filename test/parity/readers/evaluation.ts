/** Measures of evaluation from given features and pictures: FID, KID, inception score, precision and recall, CLIP score, PSNR and SSIM. */

import { join } from 'node:path';
import { clipScore } from '../../../src/evaluation/clip-score.ts';
import { frechetDistance } from '../../../src/evaluation/frechet-distance.ts';
import { inceptionScore } from '../../../src/evaluation/inception-score.ts';
import { kernelDistance, kernelDistanceOfSubsets } from '../../../src/evaluation/kernel-distance.ts';
import { featureMatrix, type Matrix, takeRows } from '../../../src/evaluation/matrix.ts';
import { precisionRecall } from '../../../src/evaluation/precision-recall.ts';
import { meanSquaredError, psnr } from '../../../src/evaluation/psnr.ts';
import { ssim } from '../../../src/evaluation/ssim.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import type { IndexRow, Reader, Recorded, RecordedCase } from '../reader.ts';
import { named, type TrainingCase, trainingCase } from '../training-case.ts';

type Compare = (one: TrainingCase, compare: Comparisons, recorded: RecordedCase) => void;
/** Measures by what the row exercises. */
const measures: readonly (readonly [RegExp, Compare])[] = [
  [/^Frechet distance/, compareFid],
  [/^kernel inception distance/, compareKid],
  [/^exp\(mean KL/, compareInceptionScore],
  [/precision and recall/, comparePrecisionRecall],
  [/^100\*max\(cos/, compareClipScore],
  [/^PSNR and SSIM/, comparePictureMeasures],
];
const measureOf = ({ exercises }: IndexRow) => measures.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'eval' && row['skipped'] === undefined && measureOf(row) !== undefined,
  compare: collecting((recorded, compare) => measureOf(recorded.row)?.(trainingCase(recorded), compare, recorded)),
};

const first = (matrix: Matrix, rows: number): Matrix =>
  takeRows(
    matrix,
    Array.from({ length: rows }, (_, i) => i),
  );

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

/** The sets as the row's settings describe them; in float32, as they were. */
function featureSets(tensors: TrainingCase['tensors']): Readonly<Record<string, readonly [Matrix, Matrix]>> {
  const stored = (name: string): Matrix => featureMatrix(pick(tensors, `in.${name}`));
  const [a, b] = [stored('gaussian_500x64.a'), stored('gaussian_500x64.b')];
  return {
    gaussian_500x64: [a, b],
    same_set: [a, a],
    fewer_samples_than_dims: [first(a, 40), first(b, 40)],
    singular_low_rank: [stored('singular_low_rank.a'), stored('singular_low_rank.b')],
    constant_columns: [edit(a, (value, column) => (column < 5 ? 0.25 : value)), b],
    zero_covariance: [{ rows: 50, columns: 64, data: new Float64Array(50 * 64).fill(0.25) }, b],
    shift_only: [a, edit(a, (value) => Math.fround(value + 0.5))],
    small_2d: [columns(first(a, 30), 2), columns(first(b, 50), 2)],
  };
}

/** Compared with the form by eigenvalues, both ways round. */
function compareFid({ tensors, json }: TrainingCase, compare: Comparisons): void {
  const sets = featureSets(tensors);
  for (const [name, { eigenvalue_form, tolerance_abs }] of Object.entries<Recorded>(json())) {
    const [x, y] = named(sets, name);
    compare.error(name, Math.abs(frechetDistance(x, y) - eigenvalue_form), tolerance_abs);
    compare.error(`${name}, sides swapped`, Math.abs(frechetDistance(y, x) - eigenvalue_form), tolerance_abs);
  }
}

const relative = (got: number, want: number): number => Math.abs(got - want) / Math.abs(want);
const toleranceOf = ({ row }: RecordedCase): Recorded => row['tolerance'];

/** All pictures, the given subsets, and a first subset by rows. The features are those of the FID case (the row's settings). */
function compareKid({ tensors, json }: TrainingCase, compare: Comparisons, recorded: RecordedCase): void {
  const want = json();
  const fid = readTensors(join(recorded.setFolder, 'eval/fid.safetensors'));
  const a = featureMatrix(pick(fid, 'in.gaussian_500x64.a'));
  const b = featureMatrix(pick(fid, 'in.gaussian_500x64.b'));
  const [x, y] = [first(a, 200), first(b, 220)];
  const indices = (name: string): number[][] => {
    const { data, shape } = pick(tensors, name);
    const [rows = 0, size = 0] = shape;
    return Array.from({ length: rows }, (_, i) => Array.from(data.slice(i * size, (i + 1) * size), Number));
  };
  const ys = indices('in.subset_y');
  const pairs = indices('in.subset_x').map((rows, i) => ({ x: rows, y: ys[i] ?? [] }));
  const got = kernelDistanceOfSubsets(x, y, pairs);
  const row = (output: string, value: number, wanted: number): void =>
    compare.error(`${output} (relative)`, relative(value, wanted), toleranceOf(recorded).max_relative);
  row('all_samples_unbiased', kernelDistance(x, y), want.all_samples_unbiased);
  for (const [i, value] of want.subset_values.entries()) row(`subset_values.${i}`, got.values[i] ?? Number.NaN, value);
  row('subset_mean', got.mean, want.subset_mean);
  row('subset_std_population', got.standardDeviation, want.subset_std_population);
  row('clean_fid_form_same_subsets', got.mean, want.clean_fid_form_same_subsets);
  const rows = kernelDistance(first(a, 100), first(b, 100));
  row('first subset of rows', rows, want.torchmetrics_poly_mmd_first_subset_of_rows.own);
}

function compareInceptionScore({ input, json }: TrainingCase, compare: Comparisons, recorded: RecordedCase): void {
  const want = json();
  const logits = input('logits');
  const got = inceptionScore(logits, want.splits);
  const row = (output: string, value: number, wanted: number): void =>
    compare.error(`${output} (relative)`, relative(value, wanted), toleranceOf(recorded).max_relative);
  for (const [i, value] of want.per_split.entries()) row(`per_split.${i}`, got.values[i] ?? Number.NaN, value);
  compare.exact('number of splits', got.values.length, want.per_split.length);
  row('mean', got.mean, want.mean);
  row('std_unbiased', got.standardDeviation, want.std_unbiased);
  row('std_population', got.populationDeviation, want.std_population);
  row('one_split', inceptionScore(logits, 1).mean, want.one_split);
}

/** Exact counts; the density is a count over k n, of which one division or two differ in the last bit. */
function comparePrecisionRecall({ input, json }: TrainingCase, compare: Comparisons): void {
  for (const [key, want] of Object.entries<Recorded>(json())) {
    const k = Number(/^k(\d+)$/.exec(key)?.[1] ?? Number.NaN);
    if (Number.isNaN(k)) continue;
    const got = precisionRecall(input('real'), input('fake'), k);
    for (const name of ['precision', 'recall', 'density', 'coverage'] as const)
      compare.error(`${key}.${name}`, Math.abs(got[name] - want[name]), name === 'density' ? 1e-15 : 0);
  }
}

function compareClipScore({ input, json }: TrainingCase, compare: Comparisons, recorded: RecordedCase): void {
  const want = json();
  const got = clipScore(input('image'), input('text'));
  const row = (output: string, value: number | undefined, wanted: number): void =>
    compare.error(output, Math.abs((value ?? Number.NaN) - wanted), toleranceOf(recorded).max_abs);
  for (const [i, value] of want.cosine.entries()) row(`cosine.${i}`, got.cosines[i], value);
  for (const [i, value] of want.score.entries()) row(`score.${i}`, got.scores[i], value);
  row('mean_of_clamped', got.mean, want.mean_of_clamped);
  row('clamped_mean', got.clampedMean, want.clamped_mean);
}

const pictureMeasures: Readonly<Record<string, (x: Image, y: Image) => number>> = {
  mse_255: (x, y) => meanSquaredError(x, y),
  psnr_ldm_255: (x, y) => psnr(x, y),
  psnr_skimage: (x, y) => psnr(x, y),
  psnr_torchmetrics: (x, y) => psnr(x, y),
  psnr_border4: (x, y) => psnr(x, y, { border: 4 }),
  ssim_ldm: (x, y) => ssim(x, y),
  ssim_ldm_border4: (x, y) => ssim(x, y, { border: 4 }),
  ssim_skimage_default: (x, y) => ssim(x, y, { convention: 'skimage' }),
  ssim_skimage_gaussian: (x, y) => ssim(x, y, { convention: 'skimage-gaussian' }),
  ssim_torchmetrics: (x, y) => ssim(x, y, { convention: 'torchmetrics' }),
};

/** The other picture of each recorded pair with picture a. */
const pairs: Readonly<Record<string, string>> = { noise: 'b', contrast: 'c', same: 'a' };

function comparePictureMeasures({ input, json }: TrainingCase, compare: Comparisons, recorded: RecordedCase): void {
  const image = (name: string): Image => {
    const { shape, data } = input(name);
    return createImage(shape[1] as number, shape[0] as number, 3, data as Uint8Array);
  };
  const tolerance = toleranceOf(recorded);
  for (const [pair, values] of Object.entries<Recorded>(json())) {
    if (!(pair in pairs)) continue;
    for (const [name, value] of Object.entries<number | null>(values)) {
      const got = named(pictureMeasures, name)(image('a'), image(named(pairs, pair)));
      const infinite = got === Number.POSITIVE_INFINITY ? 0 : 1;
      compare.error(
        `${pair}.${name}`,
        value === null ? infinite : Math.abs(got - value),
        tolerance[name] ?? tolerance.max_abs,
      );
    }
  }
}
