/**
 * Turns the latents of a newly trained autoencoder towards those of an older one, so that a UNet of the older one learns the new latents
 * soon. The affine map that comes nearest to the old means (least squares over all latent pixels) goes into the two 1 x 1 convolutions
 * around the latents, with the variance of the old latents; the autoencoder draws the same pictures as before.
 *
 *     node --import ./tools/typescript.mjs examples/train-pocket/align-latents.ts MODEL AUTOENCODER.safetensors PICTURES OUT.safetensors
 *
 * MODEL holds the older autoencoder. Prints how much of the old latents' variance the map explains, channel by channel.
 */

import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { flatten } from '../../src/image/image.ts';
import { imagesToTensor } from '../../src/image/image-tensor.ts';
import { loadModel, type Model } from '../../src/index.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { imageFolder } from '../../src/training/data/folder-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';

const [modelPath, newPath, pictures, out] = process.argv.slice(2);
if (!modelPath || !newPath || !pictures || !out)
  throw new Error('Usage: align-latents.ts MODEL AUTOENCODER PICTURES OUT');
const channels = 4;
const width = channels + 1;

/** The inverse of a small square matrix, by Gauss-Jordan elimination with pivots. */
function inverse(matrix: readonly (readonly number[])[]): number[][] {
  const n = matrix.length;
  const rows = matrix.map((row, i) => [...row, ...Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))]);
  for (let column = 0; column < n; column++) {
    const pivots = rows.slice(column).map((row) => Math.abs(row[column] ?? 0));
    const pivot = column + pivots.indexOf(Math.max(...pivots));
    [rows[column], rows[pivot]] = [rows[pivot] as number[], rows[column] as number[]];
    const top = rows[column] as number[];
    const scale = top[column] as number;
    if (scale === 0) throw new Error('the latents have a channel that says nothing');
    for (let j = 0; j < 2 * n; j++) top[j] = (top[j] as number) / scale;
    for (const [i, row] of rows.entries()) {
      const factor = i === column ? 0 : (row[column] as number);
      for (let j = 0; j < 2 * n; j++) row[j] = (row[j] as number) - factor * (top[j] as number);
    }
  }
  return rows.map((row) => row.slice(n));
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);

/** Sums of products of (new latents, 1) with themselves and with the old latents, over all latent pixels. */
const squares = Array.from({ length: width }, () => new Array<number>(width).fill(0));
const products = Array.from({ length: channels }, () => new Array<number>(width).fill(0));
const oldSums = { first: new Array<number>(channels).fill(0), second: new Array<number>(channels).fill(0), count: 0 };

const older: Model = await loadModel(modelPath);
const newer: Model = await loadModel(modelPath, { vae: newPath });
const source = await imageFolder(pictures, { problems: createProblems(({ message }) => console.warn(message)) });
for (let i = 0; i < source.count; i++) {
  const sample = await source.read(i);
  if (!sample || !('image' in sample)) continue;
  const image = imagesToTensor([flatten(await nodeImageCodec.decode(sample.image))]);
  const [old, fresh] = [(await older.encodeImage(image)).mean.data, (await newer.encodeImage(image)).mean.data];
  const size = old.length / channels;
  for (let at = 0; at < size; at++) {
    const x = Array.from({ length: width }, (_, c) => (c === channels ? 1 : (fresh[c * size + at] ?? 0)));
    for (let i = 0; i < width; i++)
      for (let j = 0; j < width; j++) (squares[i] as number[])[j] = (squares[i]?.[j] ?? 0) + (x[i] ?? 0) * (x[j] ?? 0);
    for (let c = 0; c < channels; c++) {
      const y = old[c * size + at] ?? 0;
      oldSums.first[c] = (oldSums.first[c] ?? 0) + y;
      oldSums.second[c] = (oldSums.second[c] ?? 0) + y * y;
      for (let j = 0; j < width; j++) (products[c] as number[])[j] = (products[c]?.[j] ?? 0) + y * (x[j] ?? 0);
    }
  }
  oldSums.count += size;
}

// Each old channel c is near dot(map[c], (new latents, 1)).
const inverseSquares = inverse(squares);
const map = products.map((row) => inverseSquares.map((column) => dot(row, column)));
const turn: number[][] = [];
const shift: number[] = [];
for (const [c, row] of map.entries()) {
  const mean = (oldSums.first[c] ?? 0) / oldSums.count;
  const variance = (oldSums.second[c] ?? 0) / oldSums.count - mean ** 2;
  const residual = ((oldSums.second[c] ?? 0) - dot(row, products[c] ?? [])) / oldSums.count;
  const explained = 1 - residual / variance;
  console.log(`channel ${c}: ${(100 * explained).toFixed(1)} % of the variance`);
  // A least squares fit has less variance than what it fits; the UNet expects the old variance.
  const scale = 1 / Math.sqrt(explained);
  turn.push(row.slice(0, channels).map((value) => scale * value));
  shift.push(scale * (row[channels] ?? 0) + (1 - scale) * mean);
}

const weights = await openWeightsAt(newPath);
const read = async (name: string): Promise<Float32Array> => (await weights.read(name)).data as Float32Array;
const [q, qBias] = [await read('quant_conv.weight'), await read('quant_conv.bias')];
const [p, pBias] = [await read('post_quant_conv.weight'), await read('post_quant_conv.bias')];
const changed = new Map<string, Float32Array>();
const wide = 2 * channels;
const column = (values: Float32Array, j: number, stride: number): number[] =>
  Array.from({ length: channels }, (_, i) => values[i * stride + j] ?? 0);
changed.set(
  'quant_conv.weight',
  q.map((value, at) =>
    at < channels * wide ? dot(turn[Math.floor(at / wide)] ?? [], column(q, at % wide, wide)) : value,
  ),
);
// The logarithm of a variance grows by twice that of the scale; channels share the variance of those that they are made of.
const scales = turn.map((row) => Math.log(dot(row, row)));
changed.set(
  'quant_conv.bias',
  qBias.map((value, i) =>
    i < channels
      ? dot(turn[i] ?? [], [...qBias.slice(0, channels)]) + (shift[i] ?? 0)
      : value + (scales[i - channels] ?? 0),
  ),
);
const back = inverse(turn);
const post = p.map((_, at) =>
  dot(
    [...p.slice(channels * Math.floor(at / channels), channels * (Math.floor(at / channels) + 1))],
    back.map((row) => row[at % channels] ?? 0),
  ),
);
changed.set('post_quant_conv.weight', post);
changed.set(
  'post_quant_conv.bias',
  pBias.map((value, i) => value - dot([...post.slice(channels * i, channels * (i + 1))], shift)),
);

const entries = [...weights.entries.values()].map(({ name, shape }) => ({ name, dtype: 'float32' as const, shape }));
await writeFileAtomic(
  out,
  writeSafetensors(
    entries,
    async ({ name, shape }): Promise<Tensor> => float32(shape, changed.get(name) ?? (await read(name))),
  ),
);
await older.dispose();
await newer.dispose();
console.log(out);
