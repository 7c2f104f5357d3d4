/**
 * Turns: who may use the engine for the next step. Groups of jobs that are under way at the same time give way to each other between their
 * steps, and the caller that received least work goes first (queue/fair-share.ts). A group that waits for its turn keeps its latents and
 * nothing else changes for it, so its pictures are the same bit for bit.
 */

import { createFairShare } from '../queue/fair-share.ts';

export interface Turns {
  /** Resolves when it is this caller's turn, or the signal fires. Call the result when the step is done, with the work of each caller. */
  take(owner: string, signal: AbortSignal): Promise<EndTurn>;
}

export type EndTurn = (work: Iterable<readonly [owner: string, work: number]>) => void;

interface Waiting {
  readonly owner: string;
  readonly go: () => void;
}

/** `together`: how many have a turn at the same time; `each`: how many of one caller. */
export function createTurns(together: number, each = together): Turns {
  const share = createFairShare();
  const waiting = new Set<Waiting>();
  let under = 0;
  const underOf = new Map<string, number>();
  const count = (owner: string, change: 1 | -1): void => {
    under += change;
    const own = (underOf.get(owner) ?? 0) + change;
    if (own === 0) underOf.delete(owner);
    else underOf.set(owner, own);
  };
  const next = (): void => {
    while (under < together) {
      const free = [...waiting].filter(({ owner }) => (underOf.get(owner) ?? 0) < each);
      const owner = share.next(free.map((entry) => entry.owner));
      const entry = free.find((found) => found.owner === owner);
      if (!entry) return;
      waiting.delete(entry);
      count(entry.owner, 1);
      entry.go();
    }
  };
  return {
    take(owner, signal) {
      return new Promise((resolve) => {
        let ended = false;
        const entry: Waiting = {
          owner,
          go() {
            signal.removeEventListener('abort', giveUp);
            resolve((work) => {
              if (ended) return;
              ended = true;
              count(owner, -1);
              for (const [name, amount] of work) share.charge(name, amount);
              // The one that had its turn may ask for the next at once, and be the one that received least.
              setImmediate(next);
            });
          },
        };
        // What is aborted ends by itself, and needs no turn.
        const giveUp = (): void => {
          if (waiting.delete(entry)) resolve(() => {});
        };
        signal.addEventListener('abort', giveUp, { once: true });
        waiting.add(entry);
        if (signal.aborted) giveUp();
        next();
      });
    },
  };
}

/** The callback of `inTurns` for each event. */
export interface TurnUse<T> {
  readonly turns: Turns;
  readonly owner: string;
  readonly signal: AbortSignal;
  /** The work that led to an event, by caller. */
  readonly workOf: (event: T) => Iterable<readonly [owner: string, work: number]>;
  /** The time that each event took to come, without waiting for the turn. */
  readonly onSpent: (seconds: number) => void;
}

/** The events, each computed in a turn. */
export async function* inTurns<T>(
  events: AsyncGenerator<T, void, void>,
  use: TurnUse<T>,
): AsyncGenerator<T, void, void> {
  try {
    for (;;) {
      const end = await use.turns.take(use.owner, use.signal);
      const begun = performance.now();
      let work: Iterable<readonly [string, number]> = [];
      try {
        const { value, done } = await events.next();
        if (done) return;
        work = use.workOf(value);
        use.onSpent((performance.now() - begun) / 1000);
        end(work);
        yield value;
      } finally {
        end(work);
      }
    }
  } finally {
    await events.return();
  }
}
