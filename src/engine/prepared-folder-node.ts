/**
 * The folder of prepared weights: what programs in int8 are made of, kept from one process to the next.
 *
 *     KEY/weights.safetensors   a program's parameters, in the element types that it takes
 *     KEY/entry.json            where they are from; its time is that of the last use
 *     files.json                digests of the files that were prepared
 *
 * Several processes may use a folder: an entry gets its name when it is complete, and one that goes while it is in use stays readable.
 */

import { mkdir, open, readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { systemCode, writeError } from '../files/file-error-node.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { readTextIfThere } from '../files/open-node.ts';
import { isTemporaryName, removeHalfWritten, temporaryName } from '../files/temporary-node.ts';
import { writeAll, writeText } from '../files/write-file-node.ts';
import { hubSettings } from '../hub/hub-settings.ts';

export interface PreparedSettings {
  readonly folder: string;
  /** The most bytes that entries may have together; 0 keeps none. */
  readonly limit: number;
}

const defaultGigabytes = 16;

/**
 * `SD_CACHE`, default the user's cache folder, and `SD_CACHE_LIMIT` in gigabytes, default 16.
 * @throws `invalid-argument` where the limit is not a number from 0
 */
export function preparedSettings(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): PreparedSettings {
  const text = environment['SD_CACHE_LIMIT'] || String(defaultGigabytes);
  const gigabytes = Number(text);
  if (!(gigabytes >= 0 && gigabytes <= 1e6))
    throw new StableDiffusionError(
      'invalid-argument',
      `SD_CACHE_LIMIT is ${JSON.stringify(text)}, and should be a number of gigabytes, such as 16, or 0 to keep nothing.`,
    );
  const folder = environment['SD_CACHE'] || join(hubSettings(environment, homedir()).ownCache, 'prepared');
  return { folder, limit: gigabytes * 1e9 };
}

export interface PreparedEntry {
  readonly key: string;
  /** The file or model that the weights are from. */
  readonly label: string;
  /** The program and version that made it. */
  readonly program: string;
  readonly bytes: number;
  /** Time of the last use, in milliseconds since 1970. */
  readonly used: number;
}

const noteSchema = z.object({ label: z.string(), program: z.string(), bytes: z.number() });
type Note = z.infer<typeof noteSchema>;

const keyPattern = /^[0-9a-f]{40}$/;

const paths = (folder: string, key: string) => {
  const entry = join(folder, key);
  return { entry, weights: join(entry, 'weights.safetensors'), note: join(entry, 'entry.json') };
};

async function noteOf(path: string): Promise<Note | undefined> {
  const text = await readTextIfThere('note', path);
  try {
    return noteSchema.parse(JSON.parse(text ?? ''));
  } catch {
    return undefined;
  }
}

/** Names in a folder; none if it does not exist. */
async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((cause: unknown) => {
    if (systemCode(cause) === 'ENOENT') return [];
    throw writeError(folder, cause);
  });
}

/** The complete entries, those used last first. */
export async function preparedEntries(folder: string): Promise<readonly PreparedEntry[]> {
  const entries: PreparedEntry[] = [];
  for (const key of await namesIn(folder)) {
    if (!keyPattern.test(key)) continue;
    const note = await noteOf(paths(folder, key).note);
    const status = note && (await stat(paths(folder, key).note).catch(() => undefined));
    if (note && status) entries.push({ key, ...note, used: status.mtimeMs });
  }
  return entries.sort((a, b) => b.used - a.used);
}

/** The weights of an entry, if it is complete; notes that it is used. */
export async function usePrepared(folder: string, key: string): Promise<string | undefined> {
  const { weights, note } = paths(folder, key);
  const found = await noteOf(note);
  const status = found && (await stat(weights).catch(() => undefined));
  if (!found || status?.size !== found.bytes) return undefined;
  const now = new Date();
  await utimes(note, now, now).catch(() => undefined);
  return weights;
}

export const removePrepared = (folder: string, key: string): Promise<void> =>
  rm(paths(folder, key).entry, { recursive: true, force: true });

/** Removes entries used longest ago until the others have at most `limit` bytes, and what ended processes left half written. */
export async function prunePrepared({ folder, limit }: PreparedSettings): Promise<void> {
  let kept = 0;
  for (const { key, bytes } of await preparedEntries(folder)) {
    if (kept + bytes <= limit) kept += bytes;
    else await removePrepared(folder, key);
  }
  await removeHalfWritten(folder);
}

/** Removes everything that is kept, also what is being written. Returns the bytes of complete entries. */
export async function clearPrepared(folder: string): Promise<number> {
  const entries = await preparedEntries(folder);
  for (const name of await namesIn(folder)) {
    if (keyPattern.test(name) || isTemporaryName(name) || name === 'files.json')
      await rm(join(folder, name), { recursive: true, force: true });
  }
  return entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** True if the disk of the folder, which is made if it is missing, has room for so many bytes, and a tenth more. First removes what ended processes left. */
export async function hasRoom(folder: string, bytes: number): Promise<boolean> {
  await makeFolder(folder);
  await removeHalfWritten(folder).catch(() => undefined); // What another user's process left stays.
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize > 1.1 * bytes;
}

/** Weights that were written to a folder. */
export interface WrittenWeights {
  readonly path: string;
  /** Makes them an entry under their key, or removes them if there is one already. */
  keep(key: string, from: Pick<Note, 'label' | 'program'>): Promise<void>;
  remove(): Promise<void>;
}

/** Writes weights to a temporary folder in `folder`, which exists. Throws `file-access`, `aborted`, or what the chunks throw; then nothing is left. */
export async function writePrepared(
  folder: string,
  chunks: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<WrittenWeights> {
  const temporary = join(folder, temporaryName());
  const path = join(temporary, 'weights.safetensors');
  const remove = (): Promise<void> => rm(temporary, { recursive: true, force: true });
  try {
    await mkdir(temporary, { mode: 0o700 });
    await using file = await open(path, 'wx', 0o600);
    let bytes = 0;
    // A chunk is written while the next is made.
    let writing: Promise<unknown> = Promise.resolve();
    for await (const chunk of chunks) {
      throwIfAborted(signal);
      await writing;
      writing = writeAll(path, file, chunk);
      writing.catch(() => {}); // Awaited before the next chunk and at the end.
      bytes += chunk.length;
    }
    await writing;
    return {
      path,
      remove,
      async keep(key, { label, program }) {
        await flush(path);
        const note: Note = { label, program, bytes };
        await writeText(join(temporary, 'entry.json'), JSON.stringify(note));
        const { entry } = paths(folder, key);
        // Another process's, or a damaged one.
        if ((await usePrepared(folder, key)) === undefined) await rm(entry, { recursive: true, force: true });
        await rename(temporary, entry).catch(remove);
      },
    };
  } catch (cause) {
    await remove();
    throw cause instanceof Error && 'syscall' in cause ? writeError(folder, cause) : cause;
  }
}

/** Waits until a file has reached the disk. */
async function flush(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.sync();
}
