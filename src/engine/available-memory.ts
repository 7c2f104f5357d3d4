/** Refuses a run whose values cannot fit into the memory that is left, before it is begun. */

import { StableDiffusionError } from '../errors.ts';
import type { Engine } from './engine.ts';

const gigabytes = (bytes: number): string => (bytes / 1e9).toPrecision(3);

/**
 * Throws `too-large` with the figures where a network needs more bytes than the machine has left. The kernels need some more than is
 * estimated (`graph/peak-memory.ts`), so what is refused could not have been made.
 */
export function checkAvailable(engine: Pick<Engine, 'limits'>, network: string, needed: number): void {
  const available = engine.limits.availableMemory?.();
  if (available === undefined || needed <= available) return;
  throw new StableDiffusionError(
    'too-large',
    `The network ${network} needs at least ${gigabytes(needed)} GB of memory for this size, and ${gigabytes(available)} GB are free. Use a smaller size or batch.`,
    { details: { needed, available } },
  );
}
