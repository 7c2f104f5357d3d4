/**
 * The folder of a filtered data set: shards, the hashes of each shard's pictures, and `manifest.json`, which says how far the work has come. It
 * is replaced after each shard; a shard that is not in it is written again.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { openFile } from '../../files/byte-source-node.ts';
import { type Lock, takeLock } from '../../files/lock-node.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readTextIfThere, whatIsAt } from '../../files/open-node.ts';
import { removeHalfWritten, writeFileAtomic, writeText } from '../../files/write-file-node.ts';
import { type Place, start } from './blocks.ts';

export interface Manifest {
  /** What the shards are made of and by. A folder of other settings is refused. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly complete: boolean;
  readonly shards: number;
  /** Samples: `read`, `kept`, and how many were left out for each reason. */
  readonly counts: Readonly<Record<string, number>>;
  /** The block of the last sample that is in a shard, and how many samples of that block are done. */
  readonly next: { readonly block: Place; readonly done: number };
}

const manifestName = 'manifest.json';
const lockName = '.lock';
const hashBytes = 8;

export const shardName = (shard: number): string => `${String(shard).padStart(5, '0')}.tar`;
const hashesName = (shard: number): string => `${String(shard).padStart(5, '0')}.phash`;

export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  await writeText(join(folder, manifestName), text);
}

function differences(old: Manifest['settings'], settings: Manifest['settings']): string[] {
  const names = new Set([...Object.keys(old), ...Object.keys(settings)]);
  return [...names].filter((name) => JSON.stringify(old[name]) !== JSON.stringify(settings[name]));
}

/** Takes the folder and reads or begins its manifest. Throws `file-exists` for a folder of other things, `invalid-argument` for other settings, `busy`. */
export async function openFolder(
  folder: string,
  settings: Manifest['settings'],
): Promise<{ readonly manifest: Manifest; readonly lock: Lock }> {
  const path = join(folder, manifestName);
  const there = await whatIsAt(folder);
  if (there !== undefined && there !== 'folder')
    throw new StableDiffusionError('file-exists', `${folder} is a file. Name a folder for the shards.`);
  await makeFolder(folder);
  await removeHalfWritten(folder);
  const isNew = (await whatIsAt(path)) === undefined;
  const others = (await readdir(folder)).filter((name) => name !== lockName);
  if (isNew && others.length > 0)
    throw new StableDiffusionError(
      'file-exists',
      `${folder} is not empty, and ${others[0]} is not of a filtered data set. Name another folder, or empty it.`,
    );
  const lock = await takeLock(join(folder, lockName), { what: `the folder ${folder}` });
  try {
    const text = await readTextIfThere('note', path);
    const manifest: Manifest = text
      ? parsed(path, text)
      : { settings, complete: false, shards: 0, counts: {}, next: { block: start, done: 0 } };
    const other = differences(manifest.settings, settings);
    if (other.length > 0)
      throw new StableDiffusionError(
        'invalid-argument',
        `${folder} holds shards of other settings (${other.join(', ')}). Use another folder, or the same settings.`,
      );
    if (!text) await writeManifest(folder, manifest);
    return { manifest, lock };
  } catch (cause) {
    await lock.release();
    throw cause;
  }
}

function parsed(path: string, text: string): Manifest {
  try {
    const value = JSON.parse(text) as Manifest;
    if (Number.isSafeInteger(value.shards) && Number.isSafeInteger(value.next.done) && value.settings) return value;
  } catch {
    // The same error as for other documents.
  }
  throw new StableDiffusionError('file-corrupt', `${path} is not the manifest of a filtered data set.`);
}

export async function writeHashes(folder: string, shard: number, hashes: readonly string[]): Promise<void> {
  await writeFileAtomic(join(folder, hashesName(shard)), [new Uint8Array(Buffer.from(hashes.join(''), 'hex'))]);
}

/** The hashes of the pictures of a shard, 16 hexadecimal digits each. */
export async function readHashes(folder: string, shard: number): Promise<string[]> {
  const source = await openFile(join(folder, hashesName(shard)));
  try {
    const text = Buffer.from(await source.read(0, source.size)).toString('hex');
    return text.match(new RegExp(`.{${2 * hashBytes}}`, 'g')) ?? [];
  } finally {
    await source.close();
  }
}
