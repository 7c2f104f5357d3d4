/**
 * What one thread hands to another. Large arrays are moved, never copied on the way: the message of a batch of large pictures would hold up
 * everybody for a second. Who keeps its own copies them before, a slice in each turn of the event loop.
 */

import { setImmediate as othersTurn } from 'node:timers/promises';

/** Bytes from which on an array is moved. */
const large = 2 ** 20;
/** Bytes that are copied between the turns of others: new memory takes about a millisecond a megabyte. */
const slice = 2 ** 22;
/** Depth of a value in which arrays are looked for. */
const deepest = 8;

const isLargeView = (value: unknown): value is ArrayBufferView & { readonly buffer: ArrayBuffer } =>
  ArrayBuffer.isView(value) && value.byteLength >= large && value.buffer instanceof ArrayBuffer;

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer);

/** The large arrays of a value, and of its lists and fields. */
function viewsIn(value: unknown, depth = 0): readonly (ArrayBufferView & { readonly buffer: ArrayBuffer })[] {
  if (isLargeView(value)) return [value];
  if (!isPlain(value) || depth > deepest) return [];
  return Object.values(value).flatMap((inner) => viewsIn(inner, depth + 1));
}

/** The memory of the large arrays of a value that its thread gives away. */
export const memoryOf = (value: unknown): ArrayBuffer[] => [...new Set(viewsIn(value).map(({ buffer }) => buffer))];

async function copyOf(view: ArrayBufferView): Promise<ArrayBufferView> {
  const from = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const to = new Uint8Array(from.length);
  for (let at = 0; at < from.length; at += slice) {
    to.set(from.subarray(at, at + slice), at);
    await othersTurn();
  }
  const Type = view.constructor as new (buffer: ArrayBuffer) => ArrayBufferView;
  return view instanceof DataView ? new DataView(to.buffer) : new Type(to.buffer);
}

/** The value with copies of its large arrays, whose memory can be given away. */
export async function copiedSlowly<T>(value: T): Promise<T> {
  const copies = new Map<ArrayBufferView, ArrayBufferView>();
  for (const view of viewsIn(value)) if (!copies.has(view)) copies.set(view, await copyOf(view));
  if (copies.size === 0) return value;
  const replaced = (inner: unknown, depth: number): unknown => {
    if (ArrayBuffer.isView(inner)) return copies.get(inner) ?? inner;
    if (!isPlain(inner) || depth > deepest) return inner;
    if (Array.isArray(inner)) return inner.map((one) => replaced(one, depth + 1));
    return Object.fromEntries(Object.entries(inner).map(([key, one]) => [key, replaced(one, depth + 1)]));
  };
  return replaced(value, 0) as T;
}
