/** A recorded training case: its tensors, weights and tolerances, and the comparison of all its outputs. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { convert, toFloat32 } from '../../src/tensor/convert.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { pick, readTensors, type Tensors } from '../tensors.ts';
import type { Comparisons } from './comparisons.ts';
import { kept } from './kept.ts';
import { type Recorded, type RecordedCase, settingsOf } from './reader.ts';

export interface TrainingCase {
  readonly settings: Recorded;
  readonly tensors: Tensors;
  readonly extra: Recorded;
  readonly tolerance: Readonly<Record<string, number>>;
  readonly scalars: Readonly<Record<string, { readonly float32: number; readonly float64: number }>>;
  /** The tensor in.NAME. */
  readonly input: (name: string) => Tensor;
  /** Weights that the set keeps as NAME.weights.safetensors, widened to float32. */
  readonly weights: (name: string) => Map<string, Tensor>;
  /** The names of the weights files of the row, without their ending: `nets/unet_adm`. */
  readonly weightsNames: readonly string[];
  /** The row's file with this ending, read as JSON. */
  readonly json: () => Recorded;
}

interface SideFile {
  readonly tolerance?: Readonly<Record<string, number>>;
  readonly scalars?: TrainingCase['scalars'];
  readonly extra?: Recorded;
}

const weightsAt = kept(
  (path) => new Map([...readTensors(path)].map(([name, value]) => [name, toFloat32(value)] as const)),
);

export function trainingCase(recorded: RecordedCase): TrainingCase {
  const { setFolder, row } = recorded;
  const files = (row['files'] as readonly string[]) ?? [];
  const isWeights = (file: string): boolean => /\.weights\.safetensors$/.test(file);
  const main = files.find((file) => file.endsWith('.safetensors') && !isWeights(file) && file.startsWith(ownName(row)));
  const side = files.find((file) => file.endsWith('.json') && file.startsWith(ownName(row)));
  const sidePath = join(setFolder, side ?? '');
  const json = (): Recorded => JSON.parse(readFileSync(sidePath, 'utf8'));
  const { tolerance = {}, scalars = {}, extra = {} }: SideFile = side && existsSync(sidePath) ? json() : {};
  const tensors: Tensors = main ? readTensors(join(setFolder, main)) : new Map();
  return {
    settings: settingsOf(recorded),
    tensors,
    tolerance,
    scalars,
    extra,
    input: (name) => pick(tensors, `in.${name}`),
    weights: (name) => new Map(weightsAt(join(setFolder, `${name}.weights.safetensors`))),
    weightsNames: files.filter(isWeights).map((file) => file.replace(/\.weights\.safetensors$/, '')),
    json,
  };
}

/** `optim/adamw_wd`: a case's files are named after it. */
function ownName(row: RecordedCase['row']): string {
  return `${String(row['case'])}.`;
}

/** Every fourth slice of axis 0, as `[::4]` in the names of large gradients. */
function everyFourth(value: Tensor): Tensor {
  const [rows = 1, ...rest] = value.shape;
  const each = value.data.length / rows;
  const count = Math.ceil(rows / 4);
  const data = new Float32Array(count * each);
  const all = toFloat32(value).data;
  for (let i = 0; i < count; i++) data.set(all.subarray(4 * i * each, (4 * i + 1) * each), i * each);
  return float32([count, ...rest], data);
}

export function norm(value: Tensor): number {
  let sum = 0;
  for (const element of value.data) sum += Number(element) ** 2;
  return Math.sqrt(sum);
}

/** A tensor that was made under `name`, also as `NAME[::4]`, `norm.NAME` or `gradnorm.NAME`. */
function derive(name: string, got: (name: string) => Tensor | undefined): Tensor | undefined {
  const direct = got(name);
  if (direct) return direct;
  if (name.endsWith('[::4]')) {
    const whole = got(name.slice(0, -5));
    return whole && everyFourth(whole);
  }
  const source = /^norm\.(.*)$/.exec(name)?.[1] ?? name.replace(/^gradnorm\./, 'grad.');
  const whole = source === name ? undefined : got(source);
  return whole && float32([], [norm(whole)]);
}

export interface CompareOptions {
  /** Outputs that are compared elsewhere. */
  readonly only?: (name: string) => boolean;
}

/** Compares every output that has a tolerance; fails on those that were not made. */
export function compareOutputs(
  recorded: TrainingCase,
  compare: Comparisons,
  got: (name: string) => Tensor | undefined,
  { only = () => true }: CompareOptions = {},
): void {
  for (const [key, tolerance] of Object.entries(recorded.tolerance)) {
    const name = key.slice('out.'.length);
    if (!only(name)) continue;
    const found = derive(name, got);
    if (!found) throw new Error(`output ${name} was not made`);
    const scalar = recorded.scalars[key];
    const want = scalar ? float32(found.shape, [scalar.float32]) : pick(recorded.tensors, key);
    const converted = (found.dtype as string) === want.dtype ? found : convert(found, want.dtype);
    compare.tensor(key, tensor(want.dtype, want.shape, converted.data as never), want, tolerance);
  }
}

/** Names of the parameters and inputs whose gradients were recorded. */
export function gradientNames({ tolerance }: TrainingCase): string[] {
  const names = Object.keys(tolerance).flatMap((key) => [
    /^out\.(?:norm\.)?grad\.(.*?)(\[::4\])?$/.exec(key)?.[1] ?? /^out\.gradnorm\.(.*)$/.exec(key)?.[1] ?? '',
  ]);
  return [...new Set(names)].filter(Boolean);
}

/** Entry `index` of axis 0. */
export function entryOf(value: Tensor, index: number): Tensor {
  const shape = value.shape.slice(1);
  const size = value.data.length / (value.shape[0] ?? 1);
  return tensor(value.dtype, shape, value.data.slice(index * size, (index + 1) * size) as never);
}

/** Rows from … to - 1 of axis 0. */
export function rowsOf(value: Tensor, from: number, to: number): Tensor {
  const size = value.data.length / (value.shape[0] ?? 1);
  return tensor(value.dtype, [to - from, ...value.shape.slice(1)], value.data.slice(from * size, to * size) as never);
}

export const scalar = (value: number): Tensor<'float32'> => float32([], [value]);
export const vector = (values: readonly number[]): Tensor<'float32'> => float32([values.length], values);

/** The value of this name; throws where it is missing. */
export function named<T>(values: Readonly<Record<string, T>>, name: string): T {
  const found = values[name];
  if (found === undefined) throw new Error(`no ${name}; there are ${Object.keys(values).join(', ')}`);
  return found;
}
