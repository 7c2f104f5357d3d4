/** Models stored in the browser's private file system (OPFS), available offline and read by range from disk. */

export interface StoredModel {
  readonly name: string;
  readonly bytes: number;
}

async function folder(create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle('models', { create });
  } catch {
    return undefined; // none in this browser or window (private mode), or nothing stored yet
  }
}

export async function storedModel(name: string): Promise<File | undefined> {
  try {
    const handle = await (await folder(false))?.getFileHandle(name);
    const file = await handle?.getFile();
    return file && file.size > 0 ? file : undefined;
  } catch {
    return undefined;
  }
}

export async function storedModels(): Promise<readonly StoredModel[]> {
  const found: StoredModel[] = [];
  const handles = (await folder(false)) as
    | (FileSystemDirectoryHandle & { values(): AsyncIterable<FileSystemHandle> })
    | undefined;
  if (!handles) return found;
  for await (const handle of handles.values()) {
    if (handle.kind !== 'file' || handle.name.endsWith('.part')) continue;
    found.push({ name: handle.name, bytes: (await (handle as FileSystemFileHandle).getFile()).size });
  }
  return found.sort((a, b) => a.name.localeCompare(b.name));
}

export async function removeModel(name: string): Promise<void> {
  await (await folder(false))?.removeEntry(name).catch(() => {});
}

/** True if this browser's storage is full. */
export function isFull(error: unknown): boolean {
  return error instanceof Error && error.name === 'QuotaExceededError';
}

/** Writes a file under a name; a copy that is broken off does not count. Gives back what was stored, or the blob itself where nothing can be. Throws `isFull` errors. */
export async function storeModel(
  name: string,
  source: Blob | Response,
  onProgress: (share: number) => void,
  signal?: AbortSignal,
): Promise<Blob> {
  const total = source instanceof Blob ? source.size : Number(source.headers.get('content-length') ?? 0);
  const stream = source instanceof Blob ? source.stream() : source.body;
  if (!stream) throw new Error(`${name} could not be read.`);
  let done = 0;
  const counted = stream.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(part, controller) {
        done += part.length;
        if (total > 0) onProgress(done / total);
        controller.enqueue(part);
      },
    }),
  );
  const models = await folder(true);
  const options = signal ? { signal } : {};
  if (!models) return new Response(counted).blob();
  const part = await models.getFileHandle(`${name}.part`, { create: true });
  if (!('createWritable' in part)) return new Response(counted).blob();
  try {
    await counted.pipeTo(await part.createWritable(), options);
  } catch (error) {
    await models.removeEntry(`${name}.part`).catch(() => {});
    throw error;
  }
  if (total > 0 && done !== total) throw new Error(`${name} ended early: ${done} of ${total} bytes came.`);
  const movable = part as FileSystemFileHandle & { move?(name: string): Promise<void> };
  if (movable.move) await movable.move(name);
  else {
    const whole = await models.getFileHandle(name, { create: true });
    await (await part.getFile()).stream().pipeTo(await whole.createWritable());
    await models.removeEntry(`${name}.part`);
  }
  // Asks that the browser does not clear it away when space is short. Some ask the person in turn, who need not answer.
  navigator.storage.persist?.().catch(() => false);
  return (await storedModel(name)) ?? Promise.reject(new Error(`${name} could not be stored in this browser.`));
}
