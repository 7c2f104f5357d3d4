/**
 * Weights of programs in int8 that are kept from one process to the next: all parameters of a program in one file, which the runtime reads in
 * place. Its key is of the program's version, of its parameters, and of the content of the files that they are from.
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { programName } from '../config/program.ts';
import { StableDiffusionError } from '../errors.ts';
import { openFile } from '../files/byte-source-node.ts';
import { ContentDigests, type IdentifiedFile } from '../files/content-digest-node.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import type { Graph } from '../graph/graph.ts';
import { convert } from '../tensor/convert.ts';
import { byteSize } from '../tensor/dtype.ts';
import { bytesOf, elementCount } from '../tensor/tensor.ts';
import { findEntry, type WeightEntry, type WeightSource } from '../weights/weight-source.ts';
import type { CompileOptions } from './engine.ts';
import {
  hasRoom,
  type PreparedSettings,
  preparedSettings,
  prunePrepared,
  usePrepared,
  writePrepared,
} from './prepared-folder-node.ts';
import type { Prepared } from './quantised.ts';

/** Changes when the same weights are prepared in another way. */
const rule = 1;
/** Tensors that lie in no file as they are, but are computed, are read for the key; of more bytes than this nothing is kept. */
const mostComputed = 2 ** 26;

export interface PreparedOptions extends Partial<PreparedSettings> {
  /** Programs with fewer bytes of weights are prepared each time. Default 32 MiB. */
  readonly smallest?: number;
}

interface Compiling<T> {
  readonly options: CompileOptions;
  readonly compile: (weights: WeightSource) => Promise<T>;
}

interface KeptWeights {
  readonly weights: WeightSource;
  /** When the program is compiled: new weights become an entry of the folder. */
  done(): Promise<void>;
  /** When it could not be compiled. */
  failed(): Promise<void>;
}

/** Where the tensors of a program are from. */
interface Origin {
  /** Tensors by their places: of which file, from which byte, in which element type; or the digest of a tensor that is computed. */
  readonly tensors: readonly (readonly (string | number)[])[];
  readonly files: readonly IdentifiedFile[];
}

async function originOf(
  { parameters }: Graph,
  source: WeightSource,
  signal?: AbortSignal,
): Promise<Origin | undefined> {
  const found = parameters.map(({ name }) => {
    const place = source.locate?.(name);
    return { ...findEntry(source.label, source.entries, name), place: place?.identity && place };
  });
  if (bytesIn(found.filter(({ place }) => !place)) > mostComputed) return undefined;
  const files = new Map<string, IdentifiedFile>();
  const tensors: (string | number)[][] = [];
  for (const { name, dtype, place } of found) {
    if (place?.identity) {
      files.set(place.path, { path: place.path, identity: place.identity });
      tensors.push([name, dtype, [...files.keys()].indexOf(place.path), place.offset, place.length]);
    } else {
      const digest = createHash('sha256').update(bytesOf(await source.read(name, signal)));
      tensors.push([name, dtype, digest.digest('hex')]);
    }
  }
  return { tensors, files: [...files.values()] };
}

/** The parameters of a program, as its file has them. */
const entriesOf = ({ parameters }: Graph): WeightEntry[] =>
  parameters.map(({ name, value: { dtype, shape } }) => ({ name, dtype, shape: shape as readonly number[] }));

const bytesIn = (entries: readonly WeightEntry[]): number =>
  entries.reduce((sum, { dtype, shape }) => sum + elementCount(shape) * byteSize(dtype), 0);

const keyOf = (made: Prepared, { tensors }: Origin, digests: readonly string[]): string =>
  createHash('sha256')
    .update(JSON.stringify([rule, programName, made.largestWeight, entriesOf(made.graph), tensors, digests]))
    .digest('hex')
    .slice(0, 40);

/** A folder that cannot be written, or a file that went, costs time and nothing else: undefined. Throws all other errors. */
function exceptFaults(error: unknown): undefined {
  if (error instanceof StableDiffusionError && error.code.startsWith('file-')) return undefined;
  throw error;
}

/** The prepared weights that an engine uses. */
export class PreparedWeights {
  readonly #settings: PreparedSettings;
  readonly #smallest: number;
  readonly #digests: ContentDigests;
  readonly #pending = new Set<Promise<void>>();

  constructor({ smallest = 2 ** 25, ...given }: PreparedOptions = {}) {
    this.#settings = { ...preparedSettings(), ...given };
    this.#smallest = smallest;
    this.#digests = new ContentDigests(join(this.#settings.folder, 'files.json'));
  }

  /**
   * A program in int8, compiled from weights in the folder: those that are there, or new ones. From `made.weights` where none are kept: small
   * ones, those of tensors that are computed (merged LoRAs), and where the folder cannot hold them.
   */
  async compile<T>(given: Graph, source: WeightSource, made: Prepared, { options, compile }: Compiling<T>): Promise<T> {
    const kept = await this.#find(given, source, made, options).catch(exceptFaults);
    if (!kept) return compile(made.weights);
    try {
      const program = await compile(kept.weights);
      const keeping: Promise<void> = kept.done().finally(() => this.#pending.delete(keeping));
      this.#pending.add(keeping);
      return program;
    } catch (error) {
      await kept.failed();
      exceptFaults(error);
      // Another process emptied the folder meanwhile.
      return compile(made.weights);
    }
  }

  async #find(
    given: Graph,
    source: WeightSource,
    made: Prepared,
    options: CompileOptions,
  ): Promise<KeptWeights | undefined> {
    const { folder, limit } = this.#settings;
    const bytes = bytesIn(entriesOf(made.graph));
    if (bytes < this.#smallest || bytes > limit) return undefined;
    const origin = await originOf(given, source, options.signal);
    if (!origin) return undefined;
    const digests = await this.#digests.known(origin.files);
    const key = digests.every((digest) => digest !== undefined) ? keyOf(made, origin, digests) : undefined;
    const path = key === undefined ? undefined : await usePrepared(folder, key);
    return path === undefined ? this.#written(origin, made, options) : opened(path);
  }

  async #written(
    origin: Origin,
    made: Prepared,
    { signal, onProgress }: CompileOptions,
  ): Promise<KeptWeights | undefined> {
    const { weights } = made;
    const entries = entriesOf(made.graph);
    const { folder } = this.#settings;
    if (!(await hasRoom(folder, bytesIn(entries)))) return undefined;
    // Threads of Node's own digest the files while this one rounds their weights.
    const digests = Promise.all(origin.files.map((file) => this.#digests.of(file, signal)));
    digests.catch(() => {}); // Awaited in `keep`.
    let done = 0;
    const provide = async ({ name, dtype }: WeightEntry) => {
      const value = convert(await weights.read(name, signal), dtype);
      onProgress?.(++done / entries.length);
      return value;
    };
    const chunks = writeSafetensors(entries, provide, { ...(signal ? { signal } : {}), order: 'given' });
    const file = await writePrepared(folder, chunks, signal);
    const kept = await opened(file.path);
    const keep = async (): Promise<void> => {
      const key = keyOf(made, origin, await digests);
      await file.keep(key, { label: weights.label, program: programName });
      await prunePrepared(this.#settings);
    };
    return {
      ...kept,
      async done() {
        await kept.done();
        await keep().catch(file.remove);
      },
      async failed() {
        await kept.failed();
        await file.remove();
      },
    };
  }

  /** Waits until new entries are written. */
  async settle(): Promise<void> {
    await Promise.all(this.#pending);
  }
}

async function opened(path: string): Promise<KeptWeights> {
  const weights = await openSafetensors(await openFile(path));
  const close = (): Promise<void> => weights.close();
  return { weights, done: close, failed: close };
}
