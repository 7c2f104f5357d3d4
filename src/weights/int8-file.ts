/**
 * Weights of a file in int8: a tensor NAME of the type int8 with `NAME.int8_scale`, float32 [rows], by which each of its rows is multiplied.
 * They are rounded by the same rule as for programs in int8, so that such a program is the same from the original file and from this one.
 */

import { StableDiffusionError } from '../errors.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { withDType } from './convert-dtype.ts';
import { int8Rows } from './int8-weights.ts';
import { aliased, type ViewEntry, weightView } from './view.ts';
import type { WeightEntry, WeightSource } from './weight-source.ts';

const suffix = '.int8_scale';

/** Tensors with fewer rows or columns stay as they are, and so do tables of embeddings, of which single rows are read. */
const fewest = 32;

function isRounded({ name, dtype, shape }: WeightEntry): boolean {
  const isFloat = dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16';
  const isMatrix = shape.length >= 2 && shape.slice(0, 2).every((size) => size >= fewest);
  return isFloat && isMatrix && name.endsWith('.weight') && !name.includes('embedding');
}

/** The same weights with large matrices and convolutions in int8, and other numbers in float16. */
export function withInt8(source: WeightSource): WeightSource {
  const half = withDType(source, 'float16');
  const scales = new Map<string, Tensor<'float32'>>();
  const tensors = Array.from(source.entries.values()).flatMap((entry): ViewEntry[] => {
    const { name, shape } = entry;
    if (!isRounded(entry)) return [aliased(half, name)];
    const made = async (signal?: AbortSignal): Promise<Tensor<'int8'>> => {
      const { weight, scale } = int8Rows(await source.read(name, signal));
      if (!scale.data.every(Number.isFinite))
        throw new StableDiffusionError('not-finite', `${source.label}: ${name} has values that are not finite.`);
      scales.set(name, scale);
      return weight;
    };
    const scaleEntry: WeightEntry = { name: `${name}${suffix}`, dtype: 'float32', shape: shape.slice(0, 1) };
    return [
      { entry: { name, dtype: 'int8', shape }, read: made },
      {
        entry: scaleEntry,
        async read(signal) {
          if (!scales.has(name)) await made(signal);
          return scales.get(name) as Tensor<'float32'>;
        },
      },
    ];
  });
  return weightView(source.label, tensors, [source]);
}

/** `source` with such tensors in float32, without their scales. Throws `file-corrupt` where a scale does not fit its tensor. */
export function fromInt8(source: WeightSource): WeightSource {
  const rounded = new Set<string>();
  for (const { name, dtype, shape } of source.entries.values()) {
    const of = name.endsWith(suffix) ? source.entries.get(name.slice(0, -suffix.length)) : undefined;
    if (of?.dtype !== 'int8') continue;
    if (dtype !== 'float32' || shape.length !== 1 || shape[0] !== of.shape[0])
      throw new StableDiffusionError(
        'file-corrupt',
        `${source.label}: ${name} is ${dtype} [${shape.join(', ')}], and should be float32 [${of.shape[0] ?? ''}]. Convert the model again.`,
      );
    rounded.add(of.name);
  }
  if (rounded.size === 0) return source;
  const tensors = Array.from(source.entries.values()).flatMap((entry): ViewEntry[] => {
    const { name } = entry;
    if (name.endsWith(suffix) && rounded.has(name.slice(0, -suffix.length))) return [];
    if (!rounded.has(name)) return [aliased(source, name)];
    return [{ entry: { ...entry, dtype: 'float32' }, read: (signal) => multiplied(source, name, signal) }];
  });
  return weightView(source.label, tensors, [source]);
}

async function multiplied(source: WeightSource, name: string, signal?: AbortSignal): Promise<Tensor> {
  const { shape, data } = (await source.read(name, signal)) as Tensor<'int8'>;
  const scale = (await source.read(`${name}${suffix}`, signal)) as Tensor<'float32'>;
  const values = new Float32Array(data.length);
  const length = data.length / (shape[0] ?? 1);
  for (let row = 0; row * length < data.length; row++) {
    const step = scale.data[row] as number;
    for (let i = row * length; i < (row + 1) * length; i++) values[i] = (data[i] as number) * step;
  }
  return float32(shape, values);
}
