/**
 * A folder in memory (tmpfs) for weights on their way to the runtime: a file there is mapped by the runtime and given back whole, where buffers
 * would leave their freed copies in the process's heaps. On Linux, where /dev/shm has room; elsewhere there is none.
 */

import { mkdtempSync, readdirSync, readlinkSync, rmSync, statfsSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../errors.ts';
import type { ParameterStorage, StoredParameter } from '../onnx/stored-parameters.ts';
import { convert } from '../tensor/convert.ts';
import { byteSize, type DType } from '../tensor/dtype.ts';
import { bytesOf, fromBytes, type Tensor } from '../tensor/tensor.ts';
import type { ByteSource } from '../files/byte-source.ts';
import { openFile } from '../files/byte-source-node.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { writeAll } from '../files/write-file-node.ts';
import { isAlive, startOf } from '../files/living-process-node.ts';

const root = '/dev/shm';
const prefix = 'stable-diffusion-ts-';
/** Page size of memory and files: a mapped parameter starts at a page boundary. */
const page = 4096;
/** A whole number of elements of every type. */
const partBytes = 2 ** 22;

/** The process namespace: containers may share /dev/shm but not process ids, so an id is valid only in its namespace. Undefined if /proc does not show it. */
function pidNamespace(): string | undefined {
  try {
    if (readlinkSync('/proc/self') !== String(process.pid)) return undefined;
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0];
  } catch {
    return undefined;
  }
}

/** Removes the folders of killed processes of this namespace. Folder names contain process id, start time and namespace. */
function removeOrphans(namespace: string): void {
  const pattern = new RegExp(`^${prefix}(\\d+)-(\\d*)-${namespace}-`);
  for (const name of readdirSync(root)) {
    const [, pid, start] = pattern.exec(name) ?? [];
    if (pid === undefined || isAlive(Number(pid), start || undefined)) continue;
    try {
      rmSync(join(root, name), { recursive: true, force: true });
    } catch {
      // Another user's.
    }
  }
}

/** Parameters in a file in memory. */
export interface MemoryFile {
  readonly storage: ParameterStorage;
  /** When the runtime has read them. */
  remove(): Promise<void>;
}

export class MemoryFolder {
  readonly path: string;
  #files = 0;

  private constructor(path: string) {
    this.path = path;
  }

  /** A folder with room for `bytes`, if there is a place for one. */
  static make(bytes: number): MemoryFolder | undefined {
    if (process.platform !== 'linux') return undefined;
    try {
      const { bavail, bsize } = statfsSync(root);
      if (bavail * bsize < bytes) return undefined;
      const namespace = pidNamespace();
      if (namespace !== undefined) removeOrphans(namespace);
      return new MemoryFolder(
        mkdtempSync(join(root, `${prefix}${process.pid}-${startOf(process.pid) ?? ''}-${namespace ?? ''}-`)),
      );
    } catch {
      return undefined;
    }
  }

  /** Writes parameters in the given element types to a new file, a part at a time. */
  async write(
    wanted: readonly { readonly name: string; readonly dtype: DType }[],
    weights: WeightSource,
    signal?: AbortSignal,
  ): Promise<MemoryFile> {
    const location = `weights-${this.#files++}`;
    const path = join(this.path, location);
    const places = new Map<string, StoredParameter>();
    await using file = await open(path, 'wx');
    await using sources = new OpenFiles();
    let end = 0;
    // One part is written while the next is read and converted.
    let writing: Promise<unknown> = Promise.resolve();
    for (const { name, dtype } of wanted) {
      const offset = end;
      for await (const part of parts(name, weights, sources, signal)) {
        const bytes = bytesOf(convert(part, dtype));
        await writing;
        writing = writeAll(path, file, bytes, end);
        writing.catch(() => {}); // Awaited before the next part and at the end.
        end += bytes.length;
      }
      places.set(name, { location, offset, length: end - offset });
      end = Math.ceil(end / page) * page;
    }
    await writing;
    return { storage: (name) => places.get(name) as StoredParameter, remove: () => rm(path, { force: true }) };
  }

  dispose(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Files that weights lie in, opened once. */
class OpenFiles implements AsyncDisposable {
  readonly #files = new Map<string, ByteSource>();

  async get(path: string): Promise<ByteSource> {
    const file = this.#files.get(path) ?? (await openFile(path));
    this.#files.set(path, file);
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) await file.close();
  }
}

/** A tensor in parts of at most `partBytes`, where its bytes lie in a file; else whole. */
async function* parts(
  name: string,
  weights: WeightSource,
  files: OpenFiles,
  signal?: AbortSignal,
): AsyncGenerator<Tensor> {
  const place = weights.locate?.(name);
  const entry = weights.entries.get(name);
  if (!place || !entry) {
    yield await weights.read(name, signal);
    return;
  }
  const file = await files.get(place.path);
  for (let at = 0; at < place.length; at += partBytes) {
    throwIfAborted(signal);
    const bytes = await file.read(place.offset + at, Math.min(partBytes, place.length - at));
    yield fromBytes(entry.dtype, [bytes.length / byteSize(entry.dtype)], bytes);
  }
}
