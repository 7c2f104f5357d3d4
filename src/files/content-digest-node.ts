/**
 * Digests of large files: SHA-256 of the SHA-256s of a file's pieces, calculated by threads of Node's own pool while the caller goes on.
 * Known ones are kept in a note, by the file's path and identity, so that a file is read once.
 */

import { createHash, webcrypto } from 'node:crypto';
import { throwIfAborted } from '../errors.ts';
import type { FileIdentity } from './byte-source.ts';
import { openFile } from './byte-source-node.ts';
import { changed, isSameFile, readTextIfThere } from './open-node.ts';
import { writeText } from './write-file-node.ts';

const pieceBytes = 2 ** 24;
/** Pieces that are read and digested at a time. */
const atOnce = 2;
/** Files whose digests the note keeps; those used longest ago go first. */
const mostFiles = 512;

/** Digest of a file's content, as hexadecimal. Throws `file-access` where it is not the file of this identity. */
async function digestOf(path: string, identity: FileIdentity, signal?: AbortSignal): Promise<string> {
  const file = await openFile(path);
  try {
    if (!file.identity || !isSameFile(file.identity, identity)) throw changed(path);
    const pieces: Promise<ArrayBuffer>[] = [];
    for (let at = 0; at < file.size; at += pieceBytes) {
      throwIfAborted(signal);
      const bytes = await file.read(at, Math.min(pieceBytes, file.size - at));
      pieces.push(webcrypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
      await pieces.at(-atOnce);
    }
    const whole = createHash('sha256');
    for (const piece of pieces) whole.update(new Uint8Array(await piece));
    return whole.digest('hex');
  } finally {
    await file.close();
  }
}

/** A file by its path and identity. */
export interface IdentifiedFile {
  readonly path: string;
  readonly identity: FileIdentity;
}

const nameOf = ({ path, identity: { device, inode, size, modified } }: IdentifiedFile): string =>
  createHash('sha256')
    .update(JSON.stringify([path, device, inode, size, modified]))
    .digest('hex');

/** The digests that the note at `path` keeps, and those that this process calculates. */
export class ContentDigests {
  readonly #path: string;
  readonly #running = new Map<string, Promise<string>>();

  constructor(path: string) {
    this.#path = path;
  }

  /** The digests of the files that the note knows. */
  async known(files: readonly IdentifiedFile[]): Promise<readonly (string | undefined)[]> {
    const note = await this.#read();
    return files.map((file) => note.get(nameOf(file)));
  }

  /** The digest of a file, from the note or calculated and noted. */
  async of(file: IdentifiedFile, signal?: AbortSignal): Promise<string> {
    const name = nameOf(file);
    const known = (await this.#read()).get(name);
    if (known !== undefined) return known;
    const running = this.#running.get(name) ?? digestOf(file.path, file.identity, signal);
    this.#running.set(name, running);
    try {
      const digest = await running;
      await this.#keep(name, digest);
      return digest;
    } finally {
      this.#running.delete(name);
    }
  }

  /** Digests by names, the latest last. A damaged note is as good as none. */
  async #read(): Promise<Map<string, string>> {
    const text = await readTextIfThere('note', this.#path);
    try {
      const rows = JSON.parse(text ?? '[]') as unknown;
      const isRow = (row: unknown): row is [string, string] =>
        Array.isArray(row) && row.length === 2 && row.every((word) => typeof word === 'string');
      return new Map(Array.isArray(rows) ? rows.filter(isRow) : []);
    } catch {
      return new Map();
    }
  }

  /** Another process may replace the note at the same time: then a digest is calculated again one day. */
  async #keep(name: string, digest: string): Promise<void> {
    const rows = [...(await this.#read())].filter(([other]) => other !== name);
    rows.push([name, digest]);
    await writeText(this.#path, JSON.stringify(rows.slice(-mostFiles)));
  }
}
