/** That all ranks have the same: facts that each states, compared by digest before work begins. */

import { StableDiffusionError } from '../errors.ts';
import type { Communicator } from './communicator.ts';

/** Throws `config-invalid` on every rank where one of the facts differs, naming it and the ranks that differ from rank 0. */
export async function mustAgree(ranks: Communicator, facts: Readonly<Record<string, string>>): Promise<void> {
  if (ranks.size === 1) return;
  const names = Object.keys(facts);
  const digests = await Promise.all(
    names.map(
      async (name) => new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(facts[name]))),
    ),
  );
  const own = new Uint8Array(32 * names.length);
  for (const [i, digest] of digests.entries()) own.set(digest, 32 * i);
  const all = await ranks.allGather(own);
  const part = (rank: number, i: number): string =>
    all.subarray(own.length * rank + 32 * i, own.length * rank + 32 * (i + 1)).join();
  for (const [i, name] of names.entries()) {
    const others = Array.from({ length: ranks.size }, (_, rank) => rank).filter((rank) => part(rank, i) !== part(0, i));
    if (others.length > 0)
      throw new StableDiffusionError(
        'config-invalid',
        `The ranks differ in ${name}: ${others.length === 1 ? `rank ${others[0]} has` : `ranks ${others.slice(0, 8).join(', ')} have`} not that of rank 0. Give all ranks the same.`,
      );
  }
}
