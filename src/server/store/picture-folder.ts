/**
 * The folder where people find their pictures: `OUTDIR/2026-11-30/00001-SEED.png`, numbered by the day. With keys each caller has a folder of
 * its own. The gallery of the page is this folder.
 */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { readFileOf } from '../../files/open-node.ts';
import { writeNewFile } from '../../files/write-file-node.ts';
import type { PlainSeed } from '../../random/plain-seed.ts';

export interface KeptPicture {
  /** `2026-11-30/00001-42.png` */
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly bytes: number;
}

export interface NewPicture {
  readonly owner: string;
  readonly seed: PlainSeed;
  /** `png`, `jpg`, `webp` */
  readonly ending: string;
  readonly bytes: Uint8Array;
}

export interface PictureFolder {
  /** Writes a picture; resolves to its name. Throws `file-access`. */
  save(picture: NewPicture): Promise<string>;
  /** The newest pictures before the named one. */
  list(
    owner: string,
    options: { readonly before?: string | undefined; readonly limit: number },
  ): Promise<KeptPicture[]>;
  /** Undefined if there is none of this name. */
  read(owner: string, name: string): Promise<Uint8Array | undefined>;
}

export interface PictureFolderOptions {
  readonly folder: string;
  /** Callers have keys: each gets a folder of its own. */
  readonly byOwner: boolean;
  readonly now: () => number;
}

const dayName = /^\d{4}-\d{2}-\d{2}$/;
const fileName = /^(\d{5,15})-?[-\d]{0,22}\.(?:png|jpg|webp)$/;
/** The only names that are ever opened. */
const pictureName = /^\d{4}-\d{2}-\d{2}\/\d{5,15}-?[-\d]{0,22}\.(?:png|jpg|webp)$/;

/** The day by the clock of this machine. */
function dayOf(time: number): string {
  const date = new Date(time);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** A caller's name as the name of a folder. */
const folderOf = (owner: string): string => encodeURIComponent(owner).replaceAll('.', '%2E').slice(0, 100);

const newestFirst = (a: string, b: string): number => (a < b ? 1 : a > b ? -1 : 0);

export function openPictureFolder({ folder, byOwner, now }: PictureFolderOptions): PictureFolder {
  const rootOf = (owner: string): string => (byOwner ? join(folder, folderOf(owner)) : folder);
  const namesIn = async (path: string, pattern: RegExp): Promise<string[]> =>
    (await readdir(path).catch(() => [])).filter((name) => pattern.test(name)).sort(newestFirst);
  return {
    async save({ owner, seed, ending, bytes }) {
      const day = dayOf(now());
      const path = join(rootOf(owner), day);
      await makeFolder(path);
      const [last] = await namesIn(path, fileName);
      let number = Number(fileName.exec(last ?? '')?.[1] ?? 0);
      for (;;) {
        const name = `${String(++number).padStart(5, '0')}-${seed}.${ending}`;
        try {
          await writeNewFile(join(path, name), [bytes]);
          return `${day}/${name}`;
        } catch (error) {
          // Another process wrote that one.
          if (!(error instanceof StableDiffusionError && error.code === 'file-exists')) throw error;
        }
      }
    },
    async list(owner, { before, limit }) {
      const root = rootOf(owner);
      const found: KeptPicture[] = [];
      for (const day of await namesIn(root, dayName)) {
        if (before !== undefined && day > before.slice(0, 10)) continue;
        for (const file of await namesIn(join(root, day), fileName)) {
          const name = `${day}/${file}`;
          if (before !== undefined && name >= before) continue;
          const status = await stat(join(root, name)).catch(() => undefined);
          if (status?.isFile()) found.push({ name, time: status.mtimeMs, bytes: status.size });
          if (found.length >= limit) return found;
        }
      }
      return found;
    },
    async read(owner, name) {
      if (!pictureName.test(name)) return undefined;
      const root = rootOf(owner);
      return readFileOf('picture', join(root, name), { within: root }).catch(() => undefined);
    },
  };
}
