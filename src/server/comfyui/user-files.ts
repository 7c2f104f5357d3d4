/** UserFiles: what a caller's page keeps on the server: its settings, saved workflows and the like (ComfyUI's `user` folder). */

import { readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { fileError } from '../../files/file-error-node.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { openRegular, readFileOf, readTextIfThere } from '../../files/open-node.ts';
import { takeName, writeNewFile } from '../../files/write-file-node.ts';
import type { Limits } from '../limits.ts';
import { callerFolder } from './folder-path.ts';

export interface UserFile {
  /** From the folder that was listed, with `/`. */
  readonly path: string;
  readonly isFolder: boolean;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
  readonly created: number;
}

/** Folders in folders of one list. */
const deepest = 8;

const settingsFile = 'comfy.settings.json';

export type UserFileLimits = Pick<Limits, 'filesListed' | 'settingsBytes'>;

/** All paths come from `pathInside`. */
export class UserFiles {
  readonly #root: string;
  /** The last change of each caller's settings. */
  readonly #changing = new Map<string, Promise<void>>();

  readonly #limits: UserFileLimits;

  /** `root`: the folder of all callers. */
  constructor(root: string, limits: UserFileLimits) {
    this.#root = root;
    this.#limits = limits;
  }

  #folder(owner: string): string {
    return join(this.#root, callerFolder(owner), 'default');
  }

  #path(owner: string, path: string): string {
    return join(this.#folder(owner), path);
  }

  /** Whether the caller has ever kept anything. */
  async exists(owner: string): Promise<boolean> {
    return isThere(this.#folder(owner));
  }

  /** Files of a folder, and of those in it; with folders where `folders` is set. Undefined where there is no such folder. */
  async list(
    owner: string,
    folder: string,
    { recurse, folders = false }: { readonly recurse: boolean; readonly folders?: boolean },
  ): Promise<readonly UserFile[] | undefined> {
    const root = this.#path(owner, folder);
    const status = await stat(root).catch(() => undefined);
    if (!status?.isDirectory()) return undefined;
    const found: UserFile[] = [];
    const walk = async (inside: string, depth: number): Promise<void> => {
      const entries = await readdir(join(root, inside), { withFileTypes: true }).catch(() => []);
      for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
        if (entry.name.startsWith('.') || found.length >= this.#limits.filesListed) continue;
        const path = inside === '' ? entry.name : `${inside}/${entry.name}`;
        if (entry.isDirectory()) {
          if (folders) found.push(await noteOf(root, path, true));
          if (recurse && depth < deepest) await walk(path, depth + 1);
        } else if (entry.isFile()) found.push(await noteOf(root, path, false));
      }
    };
    await walk('', 0);
    return found;
  }

  /** Undefined where there is no such file. Throws `too-large`, `file-unsafe`. */
  async read(owner: string, path: string): Promise<Uint8Array | undefined> {
    try {
      return await readFileOf('text', this.#path(owner, path), { within: this.#folder(owner) });
    } catch (error) {
      if (error instanceof StableDiffusionError && error.code !== 'too-large' && error.code !== 'file-unsafe')
        return undefined;
      throw error;
    }
  }

  async info(owner: string, path: string): Promise<UserFile | undefined> {
    try {
      await (await openRegular(this.#path(owner, path), { within: this.#folder(owner) })).handle.close();
      return await noteOf(this.#folder(owner), path, false);
    } catch {
      return undefined;
    }
  }

  /** Throws `file-exists` where it is there and must not be replaced, `file-access`. */
  async write(owner: string, path: string, bytes: Uint8Array, replace: boolean): Promise<void> {
    const file = this.#path(owner, path);
    await this.#checkPlace(owner, path);
    await makeFolder(dirname(file));
    await writeNewFile(file, [bytes], { replace });
  }

  /** False where there is no such file. */
  async remove(owner: string, path: string): Promise<boolean> {
    if (!(await this.info(owner, path))) return false;
    await rm(this.#path(owner, path), { force: true });
    return true;
  }

  /** Throws `file-exists` where there is a folder of this name, or a file in the place of one of its folders. */
  async #checkPlace(owner: string, path: string): Promise<void> {
    const parts = path.split('/');
    for (let i = 1; i <= parts.length; i++) {
      const status = await stat(this.#path(owner, parts.slice(0, i).join('/'))).catch(() => undefined);
      if (!status) return;
      if (status.isDirectory() === i < parts.length) continue;
      throw new StableDiffusionError(
        'file-exists',
        `${path} has the name of ${i < parts.length ? 'a file' : 'a folder'}.`,
      );
    }
  }

  /** Throws `file-exists` where the new name is a folder's, or taken and must not be replaced; `file-access`. */
  async move(owner: string, from: string, to: string, replace: boolean): Promise<void> {
    const file = this.#path(owner, to);
    await this.#checkPlace(owner, to);
    await makeFolder(dirname(file));
    const source = this.#path(owner, from);
    await (replace ? rename(source, file) : takeName(source, file)).catch((cause: unknown) => {
      throw fileError(from, cause);
    });
  }

  /** The settings as the page posted them. What cannot be read counts as none. */
  async settings(owner: string): Promise<Record<string, unknown>> {
    return this.#settings(owner).catch(() => ({}));
  }

  /** Damaged settings count as none. Throws where there are some that cannot be read, so that they are not replaced. */
  async #settings(owner: string): Promise<Record<string, unknown>> {
    const text = await readTextIfThere('text', this.#path(owner, settingsFile), { within: this.#folder(owner) });
    try {
      const value: unknown = text === undefined ? undefined : JSON.parse(text);
      return typeof value === 'object' && value !== null && !Array.isArray(value)
        ? (value as Record<string, unknown>)
        : {};
    } catch {
      return {};
    }
  }

  /** Changes of one caller are made one after another, so that none is lost. Throws `too-large`. */
  async changeSettings(owner: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
    const before = this.#changing.get(owner) ?? Promise.resolve();
    const change = before
      .catch(() => {})
      .then(async () => {
        const settings = { ...(await this.#settings(owner)), ...changes };
        const bytes = new TextEncoder().encode(JSON.stringify(settings, null, 4));
        checkSettings(bytes, this.#limits);
        await this.write(owner, settingsFile, bytes, true);
      });
    this.#changing.set(owner, change);
    try {
      await change;
    } finally {
      if (this.#changing.get(owner) === change) this.#changing.delete(owner);
    }
  }
}

/** Throws `too-large` for more bytes of settings than are kept. */
export function checkSettings({ length }: Uint8Array, { settingsBytes }: Pick<Limits, 'settingsBytes'>): void {
  if (length > settingsBytes)
    throw new StableDiffusionError(
      'too-large',
      `The settings would have ${length} bytes, and at most ${settingsBytes} are kept.`,
    );
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function noteOf(root: string, path: string, isFolder: boolean): Promise<UserFile> {
  const { size, mtimeMs, birthtimeMs } = await stat(join(root, path));
  return { path, isFolder, size, modified: Math.trunc(mtimeMs), created: Math.trunc(birthtimeMs || mtimeMs) };
}
