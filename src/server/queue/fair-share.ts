/**
 * Start-time fair queueing (Goyal, Vin, Cheng 1996): every job gets a start tag, the later of the queue's virtual time and the end of its
 * owner's last job; jobs are taken by their tags. A caller with a thousand jobs and one with a single job are then served in turn.
 */

export interface FairShare {
  /** The start tag of a new job of this cost (its pictures). */
  tag(owner: string, cost: number): number;
  /** A job with this tag has been taken: virtual time moves on. */
  taken(tag: number): void;
  /** Nothing waits: everybody starts anew. */
  reset(): void;
}

export interface FairShareState {
  readonly time?: number;
  /** End tag of each owner's last job that waits. */
  readonly ends?: Iterable<readonly [owner: string, end: number]>;
}

export function createFairShare(state: FairShareState = {}): FairShare {
  let time = state.time ?? 0;
  const ends = new Map(state.ends ?? []);
  return {
    tag(owner, cost) {
      const start = Math.max(time, ends.get(owner) ?? 0);
      ends.set(owner, start + cost);
      return start;
    },
    taken(tag) {
      time = Math.max(time, tag);
    },
    reset() {
      time = 0;
      ends.clear();
    },
  };
}
