/**
 * Start-time fair queueing (Goyal, Vin, Cheng 1996) over callers: each has received some work, and the one that received least is next. A
 * caller that comes back starts at the present virtual time, so that nobody saves up turns. Work is steps x pixels x pictures
 * (admission/work.ts), so a caller with a thousand small jobs and one with a single large job share alike.
 */

export interface FairShare {
  /**
   * The caller that received least work. The first of those with equal work. Undefined for an empty list. Virtual time moves to what that
   * caller has received. Jobs that share its run do not move it: one caller's many would carry time, and all who come back, far ahead.
   */
  next(owners: Iterable<string>): string | undefined;
  /** A caller receives work. A negative number gives back what was charged and not done. */
  charge(owner: string, work: number): void;
  /** Work that a caller has received, at least the present virtual time. */
  received(owner: string): number;
}

export function createFairShare(begun: Iterable<readonly [owner: string, work: number]> = []): FairShare {
  const ends = new Map(begun);
  let time = 0;
  const received = (owner: string): number => Math.max(time, ends.get(owner) ?? 0);
  return {
    received,
    next(owners) {
      let best: string | undefined;
      for (const owner of owners) if (best === undefined || received(owner) < received(best)) best = owner;
      if (best !== undefined) time = received(best);
      return best;
    },
    charge(owner, work) {
      ends.set(owner, received(owner) + work);
    },
  };
}
