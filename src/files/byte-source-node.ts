/** ByteSource over a file on disk, by positioned reads of one open handle. */

import type { FileHandle } from 'node:fs/promises';
import { StableDiffusionError } from '../errors.ts';
import { type ByteSource, checkRange } from './byte-source.ts';
import { fileError } from './file-error-node.ts';
import { changed, identityOf, isSameFile, type OpenOptions, type OpenedFile, openRegular } from './open-node.ts';

export { fileError } from './file-error-node.ts';

/** The most that one call to the system reads. */
const pieceSize = 2 ** 30;

/** Opens a file. Throws `file-not-found`, or `file-access` where it is not a regular file or may not be read. */
export async function openFile(path: string, options: OpenOptions = {}): Promise<ByteSource> {
  return fileBytes(path, await openRegular(path, options));
}

/** Closes files that nobody can reach any more: those of a workflow's models live as long as the values that its cache keeps. */
const forgotten = new FinalizationRegistry<FileHandle>((handle) => void handle.close().catch(() => {}));

function fileBytes(label: string, { handle, realPath, identity }: OpenedFile): ByteSource {
  const { size } = identity;
  // Copies of the source share this, so that it lives as long as one of them.
  const owner = { handle };
  forgotten.register(owner, handle, owner);
  return {
    label,
    path: realPath,
    identity,
    size,
    async read(offset, length) {
      checkRange(this, offset, length);
      // Not zeroed first: it is returned only when every byte has been read.
      const bytes: Uint8Array = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
      try {
        await readInto(label, owner.handle, bytes, offset);
        if (!isSameFile(identityOf(await owner.handle.stat()), identity)) throw changed(label);
      } catch (cause) {
        throw fileError(label, cause);
      }
      return bytes;
    },
    close() {
      forgotten.unregister(owner);
      return owner.handle.close();
    },
  };
}

async function readInto(label: string, handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(bytes.length - done, pieceSize), offset + done);
    if (bytesRead === 0) throw new StableDiffusionError('file-truncated', `${label} became shorter while it was read.`);
    done += bytesRead;
  }
}
