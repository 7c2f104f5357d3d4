/** Brings a graph's parameters from a WeightSource to the runtime: in place from the user's file where the bytes fit, else through buffers. */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { FileIdentity } from '../files/byte-source.ts';
import type { Graph, NamedValue } from '../graph/graph.ts';
import type { ParameterStorage, StoredParameter } from '../onnx/stored-parameters.ts';
import { convert } from '../tensor/convert.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { bytesOf, elementCount, type Tensor } from '../tensor/tensor.ts';
import { type Precision, precisions } from './precision.ts';
import type { ByteLocation, WeightSource } from '../weights/weight-source.ts';

/** Named parameters that ONNX Runtime reads as "files" in memory. */
export interface WeightBuffer {
  readonly path: string;
  readonly data: Uint8Array;
}

export interface WeightPlan {
  readonly storage: ParameterStorage;
  /** Parameters to be read into buffers, in graph order, with their location name. */
  readonly buffered: readonly { readonly name: string; readonly path: string; readonly dtype: DType }[];
  /** The one folder that files used in place lie in. */
  readonly folder: string | undefined;
  /** The files used in place, by path, with their identity when they were opened. */
  readonly files: ReadonlyMap<string, FileIdentity>;
  /** Bytes of the parameters, by name, that are in memory a second time until the runtime has packed them: read into buffers, or converted. */
  readonly copied: ReadonlyMap<string, number>;
}

/** Checks that every parameter of the graph exists in the declared shape; lists all that do not. */
export function checkParameters(graph: Graph, weights: WeightSource): void {
  const missing: string[] = [];
  const misshapen: string[] = [];
  for (const { name, value } of graph.parameters) {
    const entry = weights.entries.get(name);
    if (!entry) missing.push(name);
    else if (entry.shape.join() !== value.shape.join())
      misshapen.push(`${name} is [${entry.shape.join(', ')}], not [${value.shape.join(', ')}]`);
  }
  if (missing.length + misshapen.length === 0) return;
  const list = (names: string[]): string =>
    names.slice(0, 8).join('; ') + (names.length > 8 ? `; and ${names.length - 8} more` : '');
  const parts = [
    missing.length ? `missing: ${list(missing)}` : '',
    misshapen.length ? `misshapen: ${list(misshapen)}` : '',
  ].filter(Boolean);
  throw new StableDiffusionError(
    'weights-mismatch',
    `${weights.label} does not fit the network. ${parts.join('. ')}.`,
    { details: { missing, misshapen } },
  );
}

/** Windows paths start with a drive or a share; elsewhere a backslash is an ordinary character. */
const windowsPath = /^(?:[A-Za-z]:|\\\\)/;

/** Splits an absolute path into its folder and its name. */
function splitPath(path: string): { folder: string; name: string } {
  const cut = Math.max(path.lastIndexOf('/'), windowsPath.test(path) ? path.lastIndexOf('\\') : -1);
  return { folder: cut < 0 ? '.' : path.slice(0, cut) || '/', name: path.slice(cut + 1) };
}

/** Element types that the runtime itself converts, as it loads a model, to the program's. */
const convertible: ReadonlySet<DType> = new Set(['float32', 'float16', 'bfloat16']);

/** Location of a parameter's bytes that the runtime can read: in a file, in the program's element type or one that it converts. */
function bytesInFile(
  weights: WeightSource,
  name: string,
  dtype: DType,
): (ByteLocation & { readonly dtype: DType }) | undefined {
  const stored = weights.entries.get(name)?.dtype;
  if (stored === undefined || (stored !== dtype && !(convertible.has(stored) && convertible.has(dtype))))
    return undefined;
  const place = weights.locate?.(name);
  return place && { ...place, dtype: stored };
}

/** A graph's parameters with the element types that the runtime computes in. */
export function wantedParameters(
  graph: Graph,
  { compute }: Precision = precisions.float32,
): (NamedValue & { readonly dtype: DType })[] {
  return graph.parameters.map(({ name, value }) => ({
    name,
    value,
    dtype: value.dtype === 'float32' ? compute : value.dtype,
  }));
}

export interface WeightPlanOptions {
  /** Default float32. */
  readonly precision?: Precision;
  /** True if the runtime can read files; false in browsers. */
  readonly inPlace: boolean;
}

/**
 * Decides where parameters' bytes come from. A session reads all its weights from files of one folder or all from buffers: where one cannot
 * be used in place, none is.
 */
export function planWeights(
  graph: Graph,
  weights: WeightSource,
  { precision = precisions.float32, inPlace }: WeightPlanOptions,
): WeightPlan {
  checkParameters(graph, weights);
  const wanted = wantedParameters(graph, precision);
  const places = inPlace ? wanted.map(({ name, dtype }) => bytesInFile(weights, name, dtype)) : [];
  const folders = new Set(places.map((place) => place && splitPath(place.path).folder));
  const [folder] = folders.size === 1 ? folders : [];
  const located = new Map<string, StoredParameter>();
  const buffered: { name: string; path: string; dtype: DType }[] = [];
  const copied = new Map<string, number>();
  const files = new Map<string, FileIdentity>();
  for (const [index, { name, value, dtype }] of wanted.entries()) {
    const place = folder === undefined ? undefined : places[index];
    const length = elementCount(value.shape as readonly number[]) * byteSize(dtype);
    if (place?.dtype !== dtype) copied.set(name, length);
    if (place) {
      if (place.identity) files.set(place.path, place.identity);
      located.set(name, {
        location: splitPath(place.path).name,
        offset: place.offset,
        length: place.length,
        dtype: place.dtype,
      });
      continue;
    }
    const path = `parameter-${index}`;
    const kept = value.dtype === 'float32' && precision.storage === 'float16' ? 'float16' : dtype;
    located.set(name, { location: path, offset: 0, length: (length / byteSize(dtype)) * byteSize(kept), dtype: kept });
    buffered.push({ name, path, dtype: kept });
  }
  const storage = (name: string): StoredParameter => {
    const found = located.get(name);
    if (!found) throw new StableDiffusionError('weights-mismatch', `${weights.label} has no parameter ${name}.`);
    return found;
  };
  return { storage, buffered, folder, files, copied };
}

/** Reads parameters that are not used in place, converted to the program's element type. */
export async function* readBuffers(
  wanted: WeightPlan['buffered'],
  weights: WeightSource,
  signal?: AbortSignal,
): AsyncGenerator<WeightBuffer> {
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
