/** Ranks within one process, for tests of what is built on communicators: operations meet in memory, summed in the order of ranks. */

import type { Communicator, Moved, Numbers } from '../../src/distributed/communicator.ts';

/** The communicators of `size` ranks, each to be used by a function of its own. */
export function localRanks(size: number): Communicator[] {
  const meetings: { readonly given: unknown[]; readonly done: Promise<void>; finish: () => void }[] = [];
  const meet = async <T>(rank: number, number: number, value: T): Promise<T[]> => {
    let finish = (): void => {};
    const done = new Promise<void>((resolve) => {
      finish = resolve;
    });
    meetings[number] ??= { given: [], done, finish };
    const meeting = meetings[number];
    meeting.given[rank] = value;
    if (Object.keys(meeting.given).length === size) meeting.finish();
    await meeting.done;
    return meeting.given as T[];
  };
  return Array.from({ length: size }, (_, rank): Communicator => {
    let number = 0;
    const all = <T>(value: T): Promise<T[]> => meet(rank, number++, value);
    const joined = <T extends Moved>(parts: readonly T[]): T => {
      const [first] = parts as [T];
      const out = new (first.constructor as new (length: number) => T)(
        parts.reduce((sum, part) => sum + part.length, 0),
      );
      let at = 0;
      for (const part of parts) {
        out.set(part as never, at);
        at += part.length;
      }
      return out;
    };
    const sum = <T extends Numbers>(parts: readonly T[], reduction = 'sum'): T => {
      const out = (parts[0] as T).slice() as T;
      for (const part of parts.slice(1))
        for (const [i, value] of part.entries()) {
          const before = out[i] as number;
          out[i] =
            reduction === 'sum'
              ? before + value
              : reduction === 'max'
                ? Math.max(before, value)
                : Math.min(before, value);
        }
      return out;
    };
    const startOf = (counts: readonly number[], of: number): number =>
      counts.slice(0, of).reduce((total, count) => total + count, 0);
    return {
      rank,
      size,
      allReduce: async (values, reduction) => sum(await all(values.slice() as typeof values), reduction),
      async reduceScatter(values, counts) {
        const total = sum(await all(values.slice()));
        return total.slice(startOf(counts, rank), startOf(counts, rank + 1));
      },
      allGather: async (part) => joined(await all(part.slice() as typeof part)),
      async allToAll(values, counts) {
        const given = await all(values.slice());
        return joined(given.map((one) => one.slice(startOf(counts, rank), startOf(counts, rank + 1))));
      },
      async broadcast(values, root = 0) {
        const given = await all(values.slice() as typeof values);
        if (rank !== root) values.set(given[root] as never);
        return values;
      },
      async barrier() {
        await all(0);
      },
      abort() {},
      async [Symbol.asyncDispose]() {},
    };
  });
}
