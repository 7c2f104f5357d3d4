/** Writes that wait for room: a full disk ends no job that was accepted. */

import { StableDiffusionError } from '../../errors.ts';

/**
 * Writes a result, retrying while that fails: a full disk may get space again, and without its journal a queue can do
 * nothing else. Gives up after half a minute where `patient` is not set and the disk is not full.
 */
export async function persist<T>(write: () => Promise<T>, { patient }: { readonly patient: boolean }): Promise<T> {
  for (let wait = 250; ; wait = Math.min(16_000, wait * 2)) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof StableDiffusionError && error.code === 'file-access')) throw error;
      const isFull = (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC';
      if (wait === 16_000 && !patient && !isFull) throw error;
      // A stopping process does not wait for space.
      await new Promise((resolve) => setTimeout(resolve, wait).unref());
    }
  }
}
