/** Refuses a run whose values cannot fit into the memory that is left, before it is begun. */

import { StableDiffusionError } from '../errors.ts';
import type { Engine } from './engine.ts';

/** Bytes that need no look at the system. */
const small = 2 ** 25;

const gigabytes = (bytes: number): string => (bytes / 1e9).toPrecision(3);

/**
 * Throws `too-large` with the figures where a network needs more bytes than the machine has left. The kernels need some more than is
 * estimated (`graph/peak-memory.ts`), so what is refused could not have been made. `held` are bytes that the runtime keeps for this network
 * from earlier runs.
 */
export function checkAvailable(engine: Pick<Engine, 'limits'>, network: string, needed: number, held = 0): void {
  if (needed < small) return;
  const free = engine.limits.availableMemory?.();
  if (free === undefined || needed <= free + held) return;
  const available = free + held;
  throw new StableDiffusionError(
    'too-large',
    `The network ${network} needs at least ${gigabytes(needed)} GB of memory for this size, and ${gigabytes(available)} GB are free. Use a smaller size or batch.`,
    { details: { needed, available } },
  );
}
