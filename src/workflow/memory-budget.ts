/**
 * The memory that values of a run may take at the same time: what a node will make is estimated from its inputs before it runs, so that a
 * small graph (a batch repeated again and again, a size of 16384) is refused before it takes memory.
 */

import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
import type { NodeInputs, NodeType } from './definition.ts';
import { bytesOfValue } from './values.ts';

/** Bytes of a float32 tensor of a shape. */
export const floatBytes = (...shape: readonly number[]): number => 4 * elementCount(shape);

export const isTensor = (value: unknown): value is Tensor =>
  typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value && 'data' in value;

/** The tensors of a value, and those in its lists and fields. */
function tensorsIn(value: unknown, depth = 0): readonly Tensor[] {
  if (typeof value !== 'object' || value === null || depth > 4 || ArrayBuffer.isView(value)) return [];
  if (isTensor(value)) return [value];
  if ('holdsNetworks' in value) return [];
  return Object.values(value).flatMap((inner) => tensorsIn(inner, depth + 1));
}

/**
 * Bytes of what a node makes of its inputs. Most nodes join them element by element, where the smaller batch is repeated and one size is
 * changed to the other: the largest batch of all items together. Nodes that make more say so themselves (`NodeType.makes`).
 */
export function bytesToMake(type: NodeType, inputs: NodeInputs): number {
  if (type.makes) return type.makes(inputs);
  if (type.takesLists) return bytesOfValue(Object.values(inputs));
  let [largest, items] = [1, 0];
  for (const tensor of tensorsIn(Object.values(inputs))) {
    const batch = Math.max(1, tensor.shape[0] ?? 1);
    largest = Math.max(largest, batch);
    items += tensor.data.byteLength / batch;
  }
  return Math.max(largest * items, bytesOfValue(Object.values(inputs)));
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

/** Throws `too-large` with the figures where what is there and what will be made go beyond `most`. */
export function checkMemory(bytes: number, { held, most }: { readonly held: number; readonly most: number }): void {
  if (held + bytes <= most) return;
  throw new StableDiffusionError(
    'too-large',
    `This node needs about ${megabytes(bytes)} for its results. The workflow already holds ${megabytes(held)}, and ${megabytes(most)} are allowed. Use smaller sizes or batches.`,
    { details: { needed: bytes, held, most } },
  );
}
