/**
 * Many requests of one caller at the same time are begun one in each turn of the event loop, so that others wait for the answer to one of
 * them at most, and not for hundreds.
 */

import { setImmediate as othersTurn } from 'node:timers/promises';

export interface Pace {
  /** Waits for the turn of a request of a caller that has so many under way. */
  begin(owner: string, underWay: number): Promise<void>;
}

/** `free`: requests of a caller that are begun at once. */
export function createPace(free: number): Pace {
  const last = new Map<string, Promise<void>>();
  return {
    async begin(owner, underWay) {
      if (underWay <= free) return;
      const mine = (last.get(owner) ?? Promise.resolve()).then(() => othersTurn());
      last.set(owner, mine);
      await mine;
      if (last.get(owner) === mine) last.delete(owner);
    },
  };
}
