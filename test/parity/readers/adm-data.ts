/** guided-diffusion's data and measures: crops, folders, archives of samples, the evaluator. */

import { join } from 'node:path';
import {
  admPrecisionRecall,
  inceptionScoreBySplits,
  spatialFrechetDistance,
} from '../../../src/evaluation/adm-evaluator.ts';
import { featureStatistics, frechetDistance } from '../../../src/evaluation/frechet-distance.ts';
import { openFile } from '../../../src/files/byte-source-node.ts';
import { openNpz } from '../../../src/formats/npz.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { bytesToTensor } from '../../../src/image/image-tensor.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { admCenterCrop, admClasses, admOrder, admRandomCrop } from '../../../src/training/data/adm-pictures.ts';
import type { LineageCase } from '../lineage-case.ts';
import { type Comparison, compareExactly } from '../reader.ts';
import { lineageReader } from '../lineage-reader.ts';

type Compare = (recorded: LineageCase) => AsyncIterable<Comparison>;

const imageOf = ({ shape, data }: Tensor): Image<3> =>
  createImage(shape[1] ?? 0, shape[0] ?? 0, 3, Uint8Array.from(data as Uint8Array));
const tensorOf = ({ width, height, data }: Image): Tensor => ({
  dtype: 'uint8',
  shape: [height, width, 3],
  data: Uint8Array.from(data),
});

const crops: Compare = async function* (recorded) {
  const size = recorded.settings.image_size;
  const draws = recorded.json('draws.json');
  for (const name of recorded.outputs.keys()) {
    const [kind, number] = name.split('.') as [string, string];
    const picture = imageOf(recorded.tensor(`picture.${number}`));
    const { smaller_dim_size: shorter, crop_x: left, crop_y: top } = draws[name] ?? {};
    const made =
      kind === 'center' ? admCenterCrop(picture, size) : admRandomCrop(picture, size, { shorter, left, top });
    yield recorded.compare(name, tensorOf(made));
  }
};

const folder: Compare = async function* (recorded) {
  const want = recorded.json('folder.json');
  const order = admOrder(want.files_in_folder);
  const { names, classes } = admClasses(order);
  yield compareExactly('order', order, want.order);
  yield compareExactly('classes', classes, want.classes);
  yield compareExactly('class names', names, want.class_names);
  for (const key of Object.keys(want)) {
    const [, rank, count] = /^shard_(\d+)_of_(\d+)$/.exec(key)?.map(Number) ?? [];
    if (count === undefined) continue;
    const shard = <T>(values: readonly T[]): T[] => values.filter((_, i) => i % count === rank);
    yield compareExactly(key, shard(order), want[key]);
    yield compareExactly('shard classes', shard(classes), want.shard_classes);
  }
};

/** Batches of a file of samples without end: what is over runs on into the next pass. */
const archives: Compare = async function* (recorded) {
  const read = async (file: string): Promise<readonly [Tensor, Tensor | undefined]> => {
    const source = await openFile(join(recorded.folder, file));
    const archive = await openNpz(source);
    const made = [
      await archive.read('arr_0'),
      archive.names.includes('arr_1') ? await archive.read('arr_1') : undefined,
    ] as const;
    await source.close();
    return made;
  };
  const [pictures, labels] = await read('samples.npz');
  for (const file of ['samples_compressed.npz', 'samples_fortran.npz'].filter((name) => recorded.row.files[name])) {
    const [other] = await read(file);
    yield compareExactly(
      `${file} arr_0`,
      [other.shape, [...other.data].map(Number)],
      [pictures.shape, [...pictures.data].map(Number)],
    );
  }
  const count = pictures.shape[0] ?? 0;
  const size = recorded.outputs.get('batch0.low_res')?.shape[0] ?? 1;
  for (const name of recorded.outputs.keys()) {
    const found = /^batch(\d+)\.(low_res|y)$/.exec(name);
    if (!found) continue;
    const rows = Array.from({ length: size }, (_, i) => (Number(found[1]) * size + i) % count);
    if (found[2] === 'y')
      yield recorded.compare(name, {
        dtype: 'int64',
        shape: [size],
        data: BigInt64Array.from(rows, (row) => BigInt(labels?.data[row] ?? 0)),
      });
    else yield recorded.compare(name, bytesToTensor(pictures, rows));
  }
};

const close = (output: string, got: number, want: number, rel: number): Comparison => ({
  output,
  error: Math.abs(got - want),
  tolerance: rel * Math.abs(want),
});

const evaluator: Compare = async function* (recorded) {
  const want = recorded.json('scores.json');
  const of = (name: string): Tensor => recorded.tensor(name);
  const [a, b] = [of('features_1'), of('features_2')];
  const first = featureStatistics(a);
  yield recorded.compare('mu_1', float32([first.mean.length], [...first.mean]));
  yield recorded.compare('sigma_1', {
    dtype: 'float64',
    shape: [first.covariance.rows, first.covariance.columns],
    data: Float64Array.from(first.covariance.data),
  });
  yield close('fid', frechetDistance(a, b), want.fid, 1e-4);
  yield close('sfid', spatialFrechetDistance(of('spatial_1'), of('spatial_2')), want.sfid, 1e-4);
  const probabilities = softmaxOf(a, of('softmax_weight'));
  for (const [name, value] of Object.entries<number>(want)) {
    const split = /^inception_score_(?:split_(\d+)|default_split)$/.exec(name);
    if (split) yield close(name, inceptionScoreBySplits(probabilities, Number(split[1] ?? 5000)), value, 1e-5);
  }
  for (const [name, reference, samples] of [
    ['small_integers', 'integers_ref', 'integers_sample'],
    ['large_values', 'large_ref', 'large_sample'],
  ] as const) {
    const made = admPrecisionRecall(of(reference), of(samples));
    const { precision, recall, distances_in } = want[name];
    yield compareExactly(
      name,
      [made.precision, made.recall, made.distancesIn],
      [precision, recall, distances_in.at(-1)],
    );
    if (want[`radii_${name}`]) yield compareExactly(`radii of ${name}`, made.radii, want[`radii_${name}`]);
  }
  const source = await openFile(join(recorded.folder, 'statistics.npz'));
  const archive = await openNpz(source);
  const mu = await archive.read('mu');
  yield { output: 'statistics.npz mu', error: maxError(mu, first.mean), tolerance: 1e-6 };
  await source.close();
};

const maxError = ({ data }: Tensor, values: Float64Array): number =>
  values.reduce((most, value, i) => Math.max(most, Math.abs(value - Number(data[i]))), 0);

/** softmax(features · weight), row by row. */
function softmaxOf(features: Tensor, weight: Tensor): Tensor {
  const [rows = 0, inner = 0] = features.shape;
  const columns = weight.shape[1] ?? 0;
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    const logits = Array.from({ length: columns }, (_, j) => {
      let sum = 0;
      for (let c = 0; c < inner; c++)
        sum += Number(features.data[i * inner + c]) * Number(weight.data[c * columns + j]);
      return sum;
    });
    const top = Math.max(...logits);
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
    for (const [j, logit] of logits.entries()) data[i * columns + j] = Math.exp(logit - top) / total;
  }
  return { dtype: 'float64', shape: [rows, columns], data };
}

export const reader = lineageReader([
  [/^center_crop_arr/, crops],
  [/^load_data: which files/, folder],
  [/^samples \.npz/, archives],
  [/^FID, sFID/, evaluator],
]);
