/** PictureFolders: the files of each caller that workflows read and write, as ComfyUI has them: `input`, `output` and `temp`. */

import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readFileOf } from '../../files/open-node.ts';
import { writeNewFile } from '../../files/write-file-node.ts';
import { callerFolder } from './folder-path.ts';

export const pictureFolders = ['input', 'output', 'temp'] as const;
export type PictureFolderName = (typeof pictureFolders)[number];

export const isPictureFolder = (name: string): name is PictureFolderName =>
  (pictureFolders as readonly string[]).includes(name);

/** Paths come from `pathInside`. */
export interface PictureFolders {
  /** The bytes; undefined where there is no such file. Throws `too-large`, `file-unsafe`. */
  read(owner: string, folder: PictureFolderName, path: string): Promise<Uint8Array | undefined>;
  /** Whether a name is free, or has these bytes, if they are given. A file of another size is not read. Throws `too-large`, `file-unsafe`. */
  compare(
    owner: string,
    folder: PictureFolderName,
    path: string,
    bytes: Uint8Array | undefined,
  ): Promise<'free' | 'same' | 'other'>;
  /** False where the name is taken and must not be replaced. Throws `file-access`. */
  write(
    owner: string,
    folder: PictureFolderName,
    path: string,
    bytes: Uint8Array,
    options: { readonly replace: boolean },
  ): Promise<boolean>;
  /** Paths of all files, from the folder. */
  list(owner: string, folder: PictureFolderName): Promise<readonly string[]>;
}

/** Files and depth of one listing. */
const most = { files: 20_000, depth: 8 };

async function filesIn(root: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (inside: string, depth: number): Promise<void> => {
    const entries = await readdir(join(root, inside), { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.name.startsWith('.') || found.length >= most.files) continue;
      const path = inside === '' ? entry.name : `${inside}/${entry.name}`;
      if (entry.isFile()) found.push(path);
      else if (entry.isDirectory() && depth < most.depth) await walk(path, depth + 1);
    }
  };
  await walk('', 0);
  return found.sort();
}

/** The caller's folder on the disk. */
export const diskFolder = (root: string, owner: string, folder: PictureFolderName): string =>
  join(root, callerFolder(owner), folder);

/** The folders on the disk, below `root`. */
export function openDiskFolders(root: string): PictureFolders {
  const folderOf = (owner: string, folder: PictureFolderName): string => diskFolder(root, owner, folder);
  return {
    async compare(owner, folder, path, bytes) {
      const status = await stat(join(folderOf(owner, folder), path)).catch(() => undefined);
      if (!status) return 'free';
      if (status.size !== bytes?.length) return 'other';
      const there = await this.read(owner, folder, path);
      if (!there) return 'free';
      return Buffer.compare(there, bytes) === 0 ? 'same' : 'other';
    },
    async read(owner, folder, path) {
      const within = folderOf(owner, folder);
      try {
        return await readFileOf('picture', join(within, path), { within });
      } catch (error) {
        if (error instanceof StableDiffusionError && ['file-not-found', 'file-access'].includes(error.code))
          return undefined;
        throw error;
      }
    },
    async write(owner, folder, path, bytes, { replace }) {
      const file = join(folderOf(owner, folder), path);
      await makeFolder(dirname(file));
      try {
        await writeNewFile(file, [bytes], { replace });
        return true;
      } catch (error) {
        if (error instanceof StableDiffusionError && error.code === 'file-exists') return false;
        throw error;
      }
    },
    list: (owner, folder) => filesIn(folderOf(owner, folder)),
  };
}
