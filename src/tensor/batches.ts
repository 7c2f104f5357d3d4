/** Batches: tensors whose first axis counts the items. Joined, split and repeated, one tensor or a named record of them at a time. */

import { StableDiffusionError } from '../errors.ts';
import { concatenate } from './arithmetic.ts';
import { elementCount, type Tensor } from './tensor.ts';

/** The inputs of a network by the names of its graph. The first axis of each is the batch. */
export type NetworkInputs = Readonly<Record<string, Tensor>>;

/** Batches one behind the other, along the first axis. Throws `invalid-argument` if there are none. */
export function joinBatches<T extends Tensor>(values: readonly T[]): T {
  const [first, ...rest] = values;
  if (!first) throw new StableDiffusionError('invalid-argument', 'A batch has no items.');
  return concatenate<T>([first, ...rest], 0);
}

/** Items [start, end) of the first axis, as a copy. */
export function takeBatch<T extends Tensor>(x: T, start: number, end: number): T {
  const inner = elementCount(x.shape.slice(1));
  return { ...x, shape: [end - start, ...x.shape.slice(1)], data: x.data.slice(start * inner, end * inner) };
}

/** `count` copies of a batch of one, or the batch itself if it has `count` items. `what` names it in the error, `shape-mismatch`. */
export function repeatBatch<T extends Tensor>(value: T, count: number, what: string): T {
  const items = value.shape[0] ?? 1;
  if (items === count) return value;
  if (items === 1) return joinBatches(new Array<T>(count).fill(value));
  throw new StableDiffusionError(
    'shape-mismatch',
    `The input ${what} has ${items} items for ${count} images; it must have ${count}, or 1 for all.`,
  );
}

function mapInputs<I extends NetworkInputs>(inputs: I, change: (value: Tensor, name: string) => Tensor): I {
  return Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, change(value, name)])) as I;
}

/** Every tensor of the record as a batch of `count`: see `repeatBatch`. */
export function repeatInputs<I extends NetworkInputs>(inputs: I, count: number): I {
  return mapInputs(inputs, (value, name) => repeatBatch(value, count, name));
}

/** Items [start, end) of every tensor of the record. */
export function takeInputs<I extends NetworkInputs>(inputs: I, start: number, end: number): I {
  return mapInputs(inputs, (value) => takeBatch(value, start, end));
}

/** Names, element types and shapes without the batch: records with the same text can be joined. */
export function inputsLayout(inputs: NetworkInputs): string {
  return Object.keys(inputs)
    .sort()
    .map((name) => {
      const { dtype, shape } = inputs[name] as Tensor;
      return `${name} ${dtype} [${shape.slice(1).join()}]`;
    })
    .join(', ');
}

/** The records one behind the other, tensor by tensor. Throws `invalid-argument` if there are none, `shape-mismatch` if their layouts differ. */
export function joinInputs<I extends NetworkInputs>(all: readonly I[]): I {
  const [first] = all;
  if (!first) throw new StableDiffusionError('invalid-argument', 'A batch has no items.');
  const layout = inputsLayout(first);
  const other = all.map(inputsLayout).find((found) => found !== layout);
  if (other !== undefined)
    throw new StableDiffusionError('shape-mismatch', `Inputs ${layout} and ${other} cannot be one batch.`);
  return mapInputs(first, (_, name) => joinBatches(all.map((inputs) => inputs[name] as Tensor)));
}
