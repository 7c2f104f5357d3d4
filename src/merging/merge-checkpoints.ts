/**
 * A1111's checkpoint merger (modules/extras.py `run_modelmerger`, v1.10.1): two or three checkpoints become one, tensor by tensor, as they
 * are read; and spherical interpolation of two, as mergekit has it. Only tensors whose names contain "model" take part; the others stay as in A.
 */

import { StableDiffusionError } from '../errors.ts';
import { notWanted } from '../checkpoints/what-source-is.ts';
import { pythonFloat } from '../image/metadata/infotext.ts';
import type { DType } from '../tensor/dtype.ts';
import { convert } from '../tensor/convert.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
import { type ViewEntry, weightView, withNames } from '../weights/view.ts';
import type { WeightEntry, WeightSource } from '../weights/weight-source.ts';
import { arithmetic } from './tensor-arithmetic.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

export const mergeMethods = ['weighted-sum', 'add-difference', 'slerp', 'none'] as const;
export type MergeMethod = (typeof mergeMethods)[number];

export interface MergeOptions {
  readonly method: MergeMethod;
  /** The checkpoint whose tensors the result has. */
  readonly a: WeightSource;
  /** For all methods that merge. */
  readonly b?: WeightSource;
  /** For `add-difference`: A + ratio · (B - C). */
  readonly c?: WeightSource;
  /** Share of B, place on the arc from A to B, or the factor of the difference; for each tensor's name where blocks have their own. */
  readonly ratio?: number | ((name: string) => number);
  /** Write float32 tensors as float16: those that were merged, and with `none` all. */
  readonly half?: boolean;
  /** An autoencoder under bare names (`decoder.conv_in.weight`), baked in after the merge. */
  readonly vae?: WeightSource;
  /** Tensors whose names match are left out. */
  readonly discard?: RegExp;
}

/** The kind of the result, by A's additional input channels. */
export type MergedKind = 'plain' | 'inpainting' | 'instruct-pix2pix';

export interface MergedCheckpoint {
  readonly weights: WeightSource;
  readonly kind: MergedKind;
}

/** Never merged: a table of numbers that some files hold. */
const skipped = `${partPrefixes.cond_stage}transformer.text_model.embeddings.position_ids`;

/** The text tower's names before transformers 4.31. */
export function currentNames(source: WeightSource): WeightSource {
  const old = /^cond_stage_model\.transformer\.(embeddings|encoder|final_layer_norm)\./;
  if (![...source.entries.keys()].some((name) => old.test(name))) return source;
  return withNames(source, (name) => name.replace(old, `${partPrefixes.cond_stage}transformer.text_model.$1.`));
}

type Pairing = 'equal' | 'first channels' | 'none';

/** How a tensor of A matches its counterpart: same shape, or A is a convolution with additional input channels. Throws `weights-mismatch`. */
function pairing(a: WeightEntry, b: WeightEntry | undefined, labels: readonly [a: string, b: string]): Pairing {
  if (!b) return 'none';
  if (a.shape.join() === b.shape.join()) return 'equal';
  const others = (shape: readonly number[]): string => [shape[0], ...shape.slice(2)].join();
  const [from, to] = [a.shape[1] ?? 0, b.shape[1] ?? 0];
  if (a.shape.length === b.shape.length && others(a.shape) === others(b.shape)) {
    if ((from === 9 || from === 8) && to === 4) return 'first channels';
    if (from === 4 && (to === 9 || to === 8))
      throw new StableDiffusionError(
        'weights-mismatch',
        `To merge ${to === 9 ? 'an inpainting' : 'an InstructPix2Pix'} model with a plain one, make it the first (A). ${a.name} has ${from} input channels in ${labels[0]} and ${to} in ${labels[1]}.`,
      );
  }
  throw new StableDiffusionError(
    'weights-mismatch',
    `${labels[0]} and ${labels[1]} cannot be merged: ${a.name} is [${a.shape.join(', ')}] in the first and [${b.shape.join(', ')}] in the second. Merge checkpoints of one architecture.`,
  );
}

function need(source: WeightSource | undefined, name: string, method: MergeMethod): WeightSource {
  if (source) return source;
  throw new StableDiffusionError('invalid-argument', `A merge by ${method} needs the checkpoint ${name}.`);
}

/** Refuses a file that shares no tensor with A: a ControlNet, a LoRA, a part alone. */
function checkShares(a: WeightSource, other: WeightSource | undefined): void {
  if (!other) return;
  for (const name of other.entries.keys()) if (name.includes('model') && a.entries.has(name)) return;
  throw notWanted(other, `a checkpoint that can be merged with ${a.label}: they share no tensor`);
}

function checkBaked({ name, shape }: WeightEntry, baked: WeightEntry, label: string): void {
  if (elementCount(shape) === elementCount(baked.shape)) return;
  throw new StableDiffusionError(
    'weights-mismatch',
    `The autoencoder of ${label} cannot be baked in: ${name} is [${shape.join(', ')}], and there [${baked.shape.join(', ')}]. Use one of the model's own architecture.`,
  );
}

/** The element type of the sum of two. */
const promoted = (a: DType, b: DType): DType => (a === b ? a : 'float32');

const toHalf = (dtype: DType, half: boolean): DType => (half && dtype === 'float32' ? 'float16' : dtype);

function cast(value: Tensor, dtype: DType): Tensor {
  return value.dtype === dtype ? value : convert(value, dtype);
}

/** A tensor of the result: its element type, and how it is computed. */
function mergedEntry(options: MergeOptions, entry: WeightEntry, kinds: Set<MergedKind>): ViewEntry {
  const { a, b, c, method, half = false } = options;
  const { name } = entry;
  const other = method === 'none' || name === skipped || !name.includes('model') ? undefined : b?.entries.get(name);
  const fit = pairing(entry, other, [a.label, b?.label ?? 'B']);
  if (fit === 'none' || !b || !other) {
    const dtype = toHalf(entry.dtype, half && method === 'none');
    return { entry: { ...entry, dtype }, read: async (signal) => cast(await a.read(name, signal), dtype) };
  }
  if (fit === 'first channels') kinds.add(entry.shape[1] === 9 ? 'inpainting' : 'instruct-pix2pix');
  const ratio = typeof options.ratio === 'function' ? options.ratio(name) : (options.ratio ?? 0.5);
  const result = fit === 'equal' ? promoted(entry.dtype, other.dtype) : entry.dtype;
  const dtype = toHalf(result, half);
  const read = async (signal?: AbortSignal): Promise<Tensor> => {
    const [mine, theirs] = await Promise.all([a.read(name, signal), b.read(name, signal)]);
    const { sum, difference, scaled, slerp, zeros } = arithmetic;
    if (method === 'slerp' && fit === 'equal') return cast(slerp(mine, theirs, ratio, result), dtype);
    if (method !== 'add-difference')
      return cast(sum(scaled(mine, 1 - ratio), scaled(theirs, ratio), result, mine), dtype);
    const third = c?.entries.has(name) ? await c.read(name, signal) : undefined;
    const change = third ? difference(theirs, third) : zeros(theirs);
    return cast(sum(mine, scaled(change, ratio), result, mine), dtype);
  };
  return { entry: { ...entry, dtype }, read };
}

/**
 * The merged checkpoint. Tensors are read lazily.
 * @throws `invalid-argument` for a missing checkpoint or a ratio that is not finite, `weights-mismatch` for other architectures
 */
export function mergeCheckpoints(given: MergeOptions): MergedCheckpoint {
  const { method, vae, discard, half = false } = given;
  if (typeof given.ratio === 'number' && !Number.isFinite(given.ratio))
    throw new StableDiffusionError('invalid-argument', `The ratio must be a finite number, got ${given.ratio}.`);
  const options: MergeOptions = {
    ...given,
    a: currentNames(given.a),
    b: method === 'none' ? undefined : currentNames(need(given.b, 'B', method)),
    c: method === 'add-difference' ? currentNames(need(given.c, 'C', method)) : undefined,
  };
  checkShares(options.a, options.b);
  checkShares(options.a, options.c);
  const kinds = new Set<MergedKind>();
  const tensors: ViewEntry[] = [];
  for (const entry of options.a.entries.values()) {
    const merged = mergedEntry(options, entry, kinds);
    const baked =
      entry.name.startsWith(partPrefixes.first_stage) &&
      vae?.entries.get(entry.name.slice(partPrefixes.first_stage.length));
    if (discard?.test(entry.name)) continue;
    if (!baked || !vae) tensors.push(merged);
    else {
      checkBaked(entry, baked, vae.label);
      const dtype = toHalf(baked.dtype, half);
      const read = async (signal?: AbortSignal): Promise<Tensor> => cast(await vae.read(baked.name, signal), dtype);
      tensors.push({ entry: { ...baked, name: entry.name, dtype }, read });
    }
  }
  const [kind = 'plain'] = kinds;
  const owners = [options.a, options.b, options.c, vae].filter((source) => source !== undefined);
  return { weights: weightView(`merge of ${owners.map(({ label }) => label).join(', ')}`, tensors, owners), kind };
}

/** Python's `round(x, 2)` as text: `0.7`, `1.0`. */
const rounded = (value: number): string => pythonFloat(Number(value.toFixed(2)));

/** The file name that A1111 gives the result, without an ending: `0.7(A) + 0.3(B)`. */
export function mergedName(
  names: { readonly a: string; readonly b?: string; readonly c?: string },
  { method, ratio, kind }: { readonly method: MergeMethod; readonly ratio: number; readonly kind: MergedKind },
): string {
  const { a, b = '', c = '' } = names;
  const name = {
    'weighted-sum': `${rounded(1 - ratio)}(${a}) + ${rounded(ratio)}(${b})`,
    'add-difference': `${a} + ${rounded(ratio)}(${b} - ${c})`,
    slerp: `${rounded(1 - ratio)}(${a}) slerp ${rounded(ratio)}(${b})`,
    none: a,
  }[method];
  return kind === 'plain' ? name : `${name}.${kind}`;
}
