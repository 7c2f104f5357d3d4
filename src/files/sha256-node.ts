/** SHA-256 of a file, read in pieces. */

import { createHash } from 'node:crypto';
import { fileChunks } from './open-node.ts';

/** Lower-case hexadecimal. Throws `file-not-found`, `file-access`. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of fileChunks(path)) hash.update(chunk);
  return hash.digest('hex');
}
