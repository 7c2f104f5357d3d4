/** BlobStore: files named by the SHA-256 of their bytes. What is there is never changed, and storing it again costs nothing. */

import { createHash, webcrypto } from 'node:crypto';
import * as z from 'zod';

/** Lower-case hexadecimal SHA-256: no other string is ever made part of a path or key. */
export const blobIdSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of a stored file: 64 hexadecimal digits');

export const blobId = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The same, in a thread for large files. */
export const blobIdOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  bytes.length < 2 ** 18 ? blobId(bytes) : Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex');

export interface BlobStore {
  /**
   * Stores the bytes and gives their id; when it returns they survive the end of the process, and the machine's too unless `flush` says that
   * there is no need to wait for that. Throws `file-access` where there is no room.
   */
  put(bytes: Uint8Array, options?: { readonly flush?: 'now' | 'soon' }): Promise<string>;
  /** The bytes, or undefined where there is no such file or it has been damaged. */
  get(id: string): Promise<Uint8Array | undefined>;
  has(id: string): Promise<boolean>;
  /** Removes what was not stored or stored again since `before` (milliseconds since 1970). Gives the number removed. */
  prune(before: number): Promise<number>;
  close(): Promise<void>;
}
