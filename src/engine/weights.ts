/** Brings a graph's parameters from a WeightSource to the runtime: in place from the user's file where the bytes fit, else through buffers. */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { ExternalData } from '../onnx/model.ts';
import { convert } from '../tensor/convert.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { bytesOf, elementCount, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** Named parameters that ONNX Runtime reads as "files" in memory. */
export interface WeightBuffer {
  readonly path: string;
  readonly data: Uint8Array;
}

export interface WeightPlan {
  readonly storage: (name: string) => ExternalData;
  /** Parameters to be read into buffers, in graph order, with their location name. */
  readonly buffered: readonly { readonly name: string; readonly path: string; readonly dtype: DType }[];
  /** The one folder that files used in place lie in. */
  readonly folder: string | undefined;
}

/** Checks that every parameter of the graph is there in the declared shape; names all that are not. */
function checkParameters(graph: Graph, weights: WeightSource): void {
  const missing: string[] = [];
  const misshapen: string[] = [];
  for (const { name, value } of graph.parameters) {
    const entry = weights.entries.get(name);
    if (!entry) missing.push(name);
    else if (entry.shape.join() !== value.shape.join()) misshapen.push(`${name} is [${entry.shape.join(', ')}], not [${value.shape.join(', ')}]`);
  }
  if (missing.length + misshapen.length === 0) return;
  const list = (names: string[]): string => names.slice(0, 8).join('; ') + (names.length > 8 ? `; and ${names.length - 8} more` : '');
  const parts = [missing.length ? `missing: ${list(missing)}` : '', misshapen.length ? `misshapen: ${list(misshapen)}` : ''].filter(Boolean);
  throw new StableDiffusionError('weights-mismatch', `${weights.label} does not fit the network. ${parts.join('. ')}.`, { details: { missing, misshapen } });
}

/** Splits a path into its folder and its name. */
function splitPath(path: string): { folder: string; name: string } {
  const cut = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\'));
  return { folder: cut < 0 ? '.' : path.slice(0, cut) || '/', name: path.slice(cut + 1) };
}

/** Decides for each parameter where its bytes come from. `inPlace` is false where the runtime has no files (browser). */
export function planWeights(graph: Graph, weights: WeightSource, precision: 'float32' | 'float16', inPlace: boolean): WeightPlan {
  checkParameters(graph, weights);
  let folder: string | undefined;
  const located = new Map<string, ExternalData>();
  const buffered: { name: string; path: string; dtype: DType }[] = [];
  for (const [index, { name, value }] of graph.parameters.entries()) {
    const dtype: DType = value.dtype === 'float32' ? precision : value.dtype;
    const entry = weights.entries.get(name);
    const location = inPlace && entry?.dtype === dtype ? weights.locate?.(name) : undefined;
    if (location) {
      const split = splitPath(location.path);
      folder ??= split.folder;
      if (split.folder === folder) {
        located.set(name, { location: split.name, offset: location.offset, length: location.length });
        continue;
      }
    }
    const path = `parameter-${index}`;
    located.set(name, { location: path, offset: 0, length: elementCount(value.shape as readonly number[]) * byteSize(dtype) });
    buffered.push({ name, path, dtype });
  }
  const storage = (name: string): ExternalData => {
    const found = located.get(name);
    if (!found) throw new StableDiffusionError('weights-mismatch', `${weights.label} has no parameter ${name}.`);
    return found;
  };
  return { storage, buffered, folder };
}

/** Bytes a plan reads into buffers. */
export function bufferedBytes(plan: WeightPlan): number {
  return plan.buffered.reduce((sum, { name }) => sum + plan.storage(name).length, 0);
}

/** Reads parameters that are not used in place, converted to the program's element type. */
export async function* readBuffers(wanted: WeightPlan['buffered'], weights: WeightSource, signal?: AbortSignal): AsyncGenerator<WeightBuffer> {
  for (const { name, path, dtype } of wanted) {
    throwIfAborted(signal);
    yield { path, data: ownBytes(convert(await weights.read(name, signal), dtype)) };
  }
}

/** Bytes in an ArrayBuffer of their own, so that they can be transferred to another thread. */
function ownBytes(tensor: Tensor): Uint8Array {
  const bytes = bytesOf(tensor);
  return bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice();
}
